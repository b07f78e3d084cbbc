"""How long a checkpoint stops training: seconds a GB of state, in the background and in the foreground.

    python tests/benchmarks/checkpoint.py --parameters 60

The state of N million parameters (fp32 weights and both moments, 12 bytes a parameter) is saved three times, each time
when the one before it is committed, while matrix products on all cores stand for training. `stalled` is the time inside
the call that saves. `lost` is how much longer the steps took, stand-still included, than as many without a checkpoint:
what the writing thread takes away too.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.checkpoints.writer import CheckpointWriter  # noqa: E402
from cluster.engine.exchange import Exchange  # noqa: E402
from cluster.engine.zero import MOMENTS, Fragment  # noqa: E402

SAVES, STEPS, STEP_S = 3, 25, 0.2  # so many steps at least after each save
ELEMENTS = 2**20  # of one parameter


def step(products: int, a: torch.Tensor) -> None:
    """A step's work."""
    for _ in range(products):
        torch.mm(a, a)


def products_a_step(a: torch.Tensor) -> int:
    """How many products take `STEP_S`."""
    step(20, a)
    started = time.monotonic()
    step(50, a)
    return max(1, int(STEP_S * 50 / (time.monotonic() - started)))


def run(fragments: list[Fragment], products: int, background: bool | None) -> tuple[int, float, float, float]:
    """Steps, seconds of all, of them stalled, and from a save to its commit (mean); None saves nothing."""
    a, exchange = torch.randn(512, 512), Exchange()
    shapes = {fragment.name: (ELEMENTS,) for fragment in fragments}
    commits: list[float] = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        writer = CheckpointWriter(
            Path(folder) / "checkpoints",
            Path(folder) / "latest",
            shapes,
            exchange,
            background=bool(background),
            committed=lambda facts: commits.append(facts["seconds"]),
        )
        writer.begin(0, fragments, {})  # a run's host memory is in use long before its first checkpoint
        writer.finish()
        commits.clear()
        steps, stalled, started = 0, 0.0, time.monotonic()
        for number in range(1, SAVES + 1):
            if background is not None:
                before = time.monotonic()
                writer.begin(number, fragments, {})
                stalled += time.monotonic() - before
            until = steps + STEPS
            while steps < until or (background and len(commits) < number):
                writer.tell(exchange.sum(writer.flags()))
                step(products, a)
                steps += 1
        seconds = time.monotonic() - started
        writer.finish()
        writer.close()
    return steps, seconds, stalled, sum(commits) / max(1, len(commits))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, default=60.0, metavar="N", help="millions (default: 60)")
    args = parser.parse_args()
    os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    fragments = [
        Fragment(f"p{number}", 0, {key: torch.randn(ELEMENTS) for key in ("weight", *MOMENTS)})
        for number in range(round(args.parameters * 1e6 / ELEMENTS))
    ]
    gigabytes = len(fragments) * ELEMENTS * 12 / 1e9
    products = products_a_step(torch.randn(512, 512))
    print(f"{gigabytes:.2f} GB of state, {os.cpu_count()} cores, {SAVES} checkpoints")
    print(f"{'':12} {'stalled, s/GB':>14} {'lost, s/GB':>12} {'save to commit, s':>18}")
    for name, background in (("background", True), ("foreground", False)):
        alone, alone_s, _, _ = run(fragments, products, None)
        steps, seconds, stalled, commit = run(fragments, products, background)
        lost = seconds - alone_s * steps / alone
        saved = SAVES * gigabytes
        print(f"{name:12} {stalled / saved:14.3f} {lost / saved:12.2f} {commit:18.2f}")


if __name__ == "__main__":
    main()
