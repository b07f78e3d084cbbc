"""A few real training steps of a model in a process of its own: what they take and hold.

Started as `python -m cluster.planning.probe` with a `ProbeRequest` as JSON on standard input; answers with a `Probe`.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.errors import JobError


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
        forward_backward_s: median seconds of one micro-batch.
        update_s: median seconds of one update.
        peak_bytes: memory of the device at most; on a CPU the resident memory of the process.
    """

    forward_backward_s: float
    update_s: float
    peak_bytes: int


def probe(request: ProbeRequest, timeout_s: float = 900.0) -> Probe:
    """Run `request` in a child process.

    Raises:
        JobError: the child failed, as it does when the model does not fit.
    """
    done = subprocess.run(
        [sys.executable, "-m", "cluster.planning.probe"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise JobError(f"the measuring step failed ({last[0]}); plan without --measure, or measure a smaller model")
    return Probe(**json.loads(done.stdout.splitlines()[-1]))


def _run(request: ProbeRequest) -> Probe:
    import statistics

    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import HashStore

    from cluster.engine.settings import EngineSettings
    from cluster.engine.zero import Engine
    from cluster.planning.trace import Shape, largest_batch
    from model.config import DocFormerV2Config
    from model.docformer import DocFormerV2ForConditionalGeneration

    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo", store=HashStore(), rank=0, world_size=1)
    config = DocFormerV2Config.from_dict(request.model)
    engine = Engine(
        DocFormerV2ForConditionalGeneration(config),
        EngineSettings(
            zero=request.zero,
            precision=request.precision,
            accumulation="fp32",
            offload="none",
            activation_checkpointing=request.activation_checkpointing,
            weight_decay=0.01,
            beta2=0.98,
            gradient_clip=1.0,
        ),
    )
    batch = largest_batch(config, Shape(**request.shape), str(engine.device))
    del batch["skip_logits"]
    denominators = torch.full((3,), 1000.0, device=engine.device)
    timed: tuple[list[float], list[float]] = ([], [])

    def clock(kind: int, since: float) -> float:
        if cuda:
            torch.cuda.synchronize()
        timed[kind].append(time.perf_counter() - since)
        return time.perf_counter()

    for _ in range(request.rounds + 1):
        start = time.perf_counter()
        engine.backward(engine.forward(batch, denominators).loss, last=True)
        start = clock(0, start)
        engine.update(1e-4, lambda _: True)
        clock(1, start)
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Probe(statistics.median(timed[0][1:]), statistics.median(timed[1][1:]), int(peak))


if __name__ == "__main__":
    import os

    os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
    print(json.dumps(asdict(_run(ProbeRequest(**json.load(sys.stdin))))))
