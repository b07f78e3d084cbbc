"""A few real training steps of a model in a process of its own: what they take and hold.

Started as `python -m cluster.planning.probe` with a `ProbeRequest` as JSON on standard input; answers with a `Probe`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cluster.planning.side_by_side import SideBySide


@dataclass(frozen=True)
class ProbeRequest:
    """What to try: model fields, micro-batch of `cluster.planning.trace.Shape`, engine settings, rounds to time."""

    model: dict[str, Any]
    shape: dict[str, int]
    zero: int
    precision: str
    activation_checkpointing: bool
    rounds: int = 5


@dataclass(frozen=True)
class Probe:
    """What was seen.

    Attributes:
        model_s: seconds of one micro-batch of the model without an engine around it, gradients held.
        forward_backward_s: of one in the engine.
        update_s: of one update.
        peak_bytes: memory of the device at most; on a CPU the resident memory of the process.
        parameters: elements of the model's.
    """

    model_s: float
    forward_backward_s: float
    update_s: float
    peak_bytes: int
    parameters: int


def probe(request: ProbeRequest, beside: SideBySide | None = None) -> Probe:
    """Run `request` in a child process, or in several beside each other: then the mean of their times.

    Raises:
        JobError: a child failed, as it does when the model does not fit.
    """
    found = (beside or SideBySide()).run("cluster.planning.probe", asdict(request), "the measuring step failed")
    mean = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    largest = {name: max(one[name] for one in found) for name in ("peak_bytes", "parameters")}
    return Probe(**{**mean, **largest})


def _run(request: ProbeRequest) -> Probe:
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import HashStore

    from cluster.engine.settings import EngineSettings
    from cluster.engine.zero import Engine
    from cluster.planning.replay import undisturbed_clock
    from cluster.planning.trace import Shape, largest_batch
    from cluster.training.loop import train  # noqa: F401 - all that a worker loads counts for its memory
    from cluster.training.memory import forget_peak, peak_bytes
    from model.config import DocFormerV2Config
    from model.docformer import DocFormerV2ForConditionalGeneration

    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo", store=HashStore(), rank=0, world_size=1)
    config = DocFormerV2Config.from_dict(request.model)
    dtype = torch.bfloat16 if request.precision == "bf16" else torch.float32
    model = DocFormerV2ForConditionalGeneration(config).to("cuda" if cuda else "cpu", dtype)
    if request.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    batch = largest_batch(config, Shape(**request.shape), "cuda" if cuda else "cpu")
    denominators = torch.full((3,), 1000.0, device="cuda" if cuda else "cpu")

    clock = time.perf_counter if cuda else undisturbed_clock()

    def timed(work: Callable[[], Any], rounds: int) -> float:
        """Usual seconds of `work` after a first time that does not count."""
        taken = []
        for _ in range(rounds + 1):
            started = clock()
            work()
            if cuda:
                torch.cuda.synchronize()
            taken.append(clock() - started)
        return statistics.median(taken[1:])

    model_s = timed(lambda: model(**batch, denominators=denominators).loss.backward(), request.rounds)
    model.zero_grad()
    forget_peak(denominators.device)
    engine = Engine(
        model,
        EngineSettings(
            zero=request.zero,
            precision=request.precision,
            accumulation="fp32",
            offload="none",
            activation_checkpointing=request.activation_checkpointing,
            compile=False,
            weight_decay=0.01,
            beta2=0.98,
            gradient_clip=1.0,
        ),
    )
    del batch["skip_logits"]
    updates = []

    def step() -> None:
        engine.backward(engine.forward(batch, denominators).loss, last=True)
        if cuda:
            torch.cuda.synchronize()
        started = clock()
        engine.update(1e-4, lambda _: True)
        if cuda:
            torch.cuda.synchronize()
        updates.append(clock() - started)

    whole_s = timed(step, request.rounds)
    update_s = statistics.median(updates[1:])
    return Probe(model_s, whole_s - update_s, update_s, peak_bytes(engine.device), parameters)


if __name__ == "__main__":
    import os

    os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
    print(json.dumps(asdict(_run(ProbeRequest(**json.load(sys.stdin))))))
