"""How long the operators of a trace take on this machine: each distinct one is run alone, a few times."""

import time
from typing import Any

import torch
from torch import Tensor

from cluster.planning.trace import Operator, TensorSpec, Trace, rebuild


def replay(trace: Trace, device: torch.device, repeats: int = 3) -> float:
    """Seconds that the operators of `trace` take on `device`, the host's work between them not counted.

    An operator that cannot be run alone (it depends on what another one did) counts nothing.
    """
    return sum(count * _seconds(operator, device, repeats) for operator, count in trace.operators.items())


def _seconds(operator: Operator, device: torch.device, repeats: int) -> float:
    args = rebuild(operator.args, lambda spec: _make(spec, device))
    kwargs = {name: rebuild(value, lambda spec: _make(spec, device)) for name, value in operator.kwargs}
    if "device" in kwargs:
        kwargs["device"] = device
    try:
        with torch.no_grad():
            operator.function(*args, **kwargs)
            return min(_once(operator.function, args, kwargs, device) for _ in range(repeats))
    except (RuntimeError, IndexError, TypeError):
        return 0.0


def _once(function: Any, args: list[Any], kwargs: dict[str, Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    function(*args, **kwargs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _make(spec: TensorSpec, device: torch.device) -> Tensor:
    tensor = torch.empty_strided(spec.shape, spec.stride, dtype=spec.dtype, device=device)
    # Numbers of ordinary size: subnormal ones, which memory may hold, are slow. Indices stay within any range.
    return tensor.fill_(0.01) if spec.dtype.is_floating_point else tensor.zero_()
