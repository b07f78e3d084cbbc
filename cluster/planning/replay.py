"""How long a model's micro-batch takes on this machine's CPU, from its operators: each distinct one is run alone.

Started as `python -m cluster.planning.replay` with a `ReplayRequest` as JSON on standard input, in a process of its own
that keeps the memory it frees, and with operands in the cache: what memory fresh from the system costs, and operands
that have left the cache, is measured apart.
"""

import json
import mmap
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluster.planning.side_by_side import SideBySide
from cluster.planning.trace import Operator, Shape, TensorSpec, Trace, rebuild, trace
from model.config import DocFormerV2Config

# glibc: hold on to all that is freed.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BLOCK_BYTES = 64 << 20
CACHED_BYTES = 1 << 20
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
ASSUMED_CACHE_BYTES = 32 << 20


@dataclass(frozen=True)
class ReplayRequest:
    """What to replay: model fields, micro-batch of `cluster.planning.trace.Shape`, precision."""

    model: dict[str, Any]
    shape: dict[str, int]
    precision: str
    activation_checkpointing: bool


@dataclass(frozen=True)
class Replay:
    """What one micro-batch takes.

    Attributes:
        seconds: of its operators, in memory that the process has, operands in the cache.
        fresh_s: of getting its memory from the system.
        cold_s: of getting operands from memory.
        operators: calls.
    """

    seconds: float
    fresh_s: float
    cold_s: float
    operators: int

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.seconds + self.fresh_s + self.cold_s


def replay(request: ReplayRequest, beside: SideBySide | None = None) -> Replay:
    """Replay in a child process, or in several beside each other: then the mean; raises JobError when one fails."""
    beside = replace(beside or SideBySide(), environment=KEEPS_MEMORY)
    found = beside.run("cluster.planning.replay", asdict(request), "the model's operators cannot be run here")
    mean = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    return Replay(**{**mean, "operators": found[0]["operators"]})


def run_operators(traced: Trace, repeats: int = 3) -> float:
    """Seconds that the operators of a trace take here, the host's work between them not counted.

    An operator that cannot be run alone (it depends on what another one did) counts nothing.
    """
    return sum(count * _seconds(operator, repeats) for operator, count in traced.operators.items())


def _seconds(operator: Operator, repeats: int) -> float:
    args = rebuild(operator.args, _make)
    kwargs = {name: rebuild(value, _make) for name, value in operator.kwargs}
    try:
        with torch.no_grad():
            operator.function(*args, **kwargs)
            return statistics.median(_once(operator.function, args, kwargs) for _ in range(repeats))
    except (RuntimeError, IndexError, TypeError):
        return 0.0


def _once(function: Any, args: list[Any], kwargs: dict[str, Any]) -> float:
    clock = undisturbed_clock()
    started = clock()
    function(*args, **kwargs)
    return clock() - started


def undisturbed_clock() -> Callable[[], float]:
    """A clock in seconds: of a process with one thread its own processor time, which other programs hardly disturb."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def _make(spec: TensorSpec) -> Tensor:
    tensor = torch.empty_strided(spec.shape, spec.stride, dtype=spec.dtype)
    # Numbers of ordinary size: subnormal ones, which memory may hold, are slow. Indices stay within any range.
    return tensor.fill_(0.01) if spec.dtype.is_floating_point else tensor.zero_()


def fresh_byte_seconds(repeats: int = 5) -> float:
    """Seconds that a byte of memory fresh from the system takes more than one that the process has."""

    def fill(block: Any) -> float:
        tensor = torch.frombuffer(block, dtype=torch.uint8)
        return _once(tensor.fill_, [1], {})

    found = []
    for _ in range(repeats):
        block = mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        found.append(fill(block) - fill(block))
    return max(0.0, statistics.median(found)) / BLOCK_BYTES


def cold_byte_seconds(repeats: int = 5) -> float:
    """Seconds that a byte takes to be read from memory more than from the cache."""
    cold = [torch.ones(BLOCK_BYTES // 4) for _ in range(2)]
    hot = torch.ones(CACHED_BYTES // 4)
    rounds = BLOCK_BYTES // CACHED_BYTES

    def read_hot() -> None:
        for _ in range(rounds):
            hot.sum()

    apart = [(_once(cold[k % 2].sum, [], {}) - _once(read_hot, [], {})) / BLOCK_BYTES for k in range(repeats)]
    return max(0.0, statistics.median(apart))


def cache_bytes() -> int:
    """Size of this machine's last cache."""
    sizes = [path.read_text().strip() for path in CACHES.glob("index*/size")]
    return max((int(size[:-1]) << 10 for size in sizes if size.endswith("K")), default=ASSUMED_CACHE_BYTES)


def _run(request: ReplayRequest) -> Replay:
    config, shape = DocFormerV2Config.from_dict(request.model), Shape(**request.shape)
    traced = trace(config, shape, DTYPES[request.precision], request.activation_checkpointing, cache_bytes())
    fresh_s = traced.fresh_bytes * fresh_byte_seconds()
    cold_s = traced.cold_bytes * cold_byte_seconds()
    return Replay(run_operators(traced), fresh_s, cold_s, sum(traced.operators.values()))


if __name__ == "__main__":
    print(json.dumps(asdict(_run(ReplayRequest(**json.load(sys.stdin))))))
