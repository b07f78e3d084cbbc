"""What `docformer plan --measure` says of a step on this CPU, calibrated on preset tiny, beside the real loop's step.

    python tests/benchmarks/plan.py --preset small --batches 1 2 4 --zero 0 1

The real loop is `docformer pretrain --no-ray` on generated pages that fill a sample. Prints predicted / measured, which
is the median over the steps after the first few.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.planning.memory import memory  # noqa: E402
from cluster.planning.plan import Planner  # noqa: E402
from cluster.planning.settings import PlanSettings  # noqa: E402
from cluster.planning.steps import Calibration, calibrate  # noqa: E402
from cluster.planning.trace import Footprint  # noqa: E402
from cluster.settings import PretrainSettings  # noqa: E402
from model.tokenizer import train_tokenizer  # noqa: E402
from pipelines.building.build import build  # noqa: E402
from pipelines.corpus.reader import Corpus  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.synthetic import generate  # noqa: E402


def main() -> None:
    """Print a line for each batch and ZeRO stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--zero", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0, help="1: processor time, which other programs hardly disturb")
    args = parser.parse_args()
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for zero in args.zero:
            known = calibrate("fp32", zero, partial(total, zero))
            print(
                f"zero {zero}: {known.operator_s * 1e6:.1f} us an operator, {known.parameter_s * 1e9:.2f} ns a "
                f"parameter, {known.process_bytes / 1e9:.2f} GB of process",
                flush=True,
            )
            for pages in args.batches:
                compare(folder, args.preset, pages, zero, args.steps, known)


def total(zero: int, model: Footprint) -> float:
    """Bytes of one worker without its process."""
    return memory(model, zero, 1, "fp32").total


def prepare(folder: Path) -> None:
    """A corpus of full pages, and a vocabulary."""
    generate(folder / "documents", documents=150, seed=4, scans=0.0, hostile=0)
    settings = CorpusSettings(ocr="text-layer", image_long_side=512, min_words=250)
    build([str(folder / "documents")], folder / "corpus", settings)
    pages = (row["words"] for row in Corpus.open(folder / "corpus").rows(["words"]))
    train_tokenizer(pages, folder / "tokenizer", vocab_size=1000)


def compare(folder: Path, preset: str, pages: int, zero: int, steps: int, known: Calibration) -> None:
    """Plan one configuration and run it."""
    settings = PretrainSettings.model_validate(
        {
            **{"corpus": str(folder / "corpus"), "tokenizer": str(folder / "tokenizer"), "ray": False},
            **{"out": str(folder / f"{preset}-{pages}-{zero}"), "preset": preset, "zero": zero, "steps": steps},
            **{"global_batch_pages": pages, "micro_batch_pages": pages, "eval_pages": 1, "held_out": 0.05},
        }
    )
    planner = Planner(settings, PlanSettings(device="cpu"), 1000, 1, measure=True, calibration=known)
    told = planner.step_time.step(1, 1, zero)
    config = folder / "run.yaml"
    config.write_text(json.dumps({"pretrain": settings.model_dump(mode="json")}))
    command = [sys.executable, "-m", "cluster.cli", "pretrain", "--config", str(config)]
    metrics = Path(settings.out) / "metrics.jsonl"
    real, cpu_s = watch(command, metrics)
    steps_s = [line["step_seconds"] for line in real]
    step_s = cpu_s if os.environ.get("OMP_NUM_THREADS") == "1" else statistics.median(steps_s[steps // 4 :])
    of_page = statistics.fmean(line["tokens"] for line in real) / pages
    peak, predicted = max(line["peak_memory_bytes"] for line in real), planner.memory().total
    print(
        f"{preset}, {pages} pages, zero {zero}: time {told:.2f} / {step_s:.2f} s = {told / step_s:.2f} "
        f"(steps of {min(steps_s):.2f} to {max(steps_s):.2f} s); "
        f"memory {predicted / 1e9:.2f} / {peak / 1e9:.2f} GB = {predicted / peak:.2f}; "
        f"{of_page:.0f} of {planner.shape.text + planner.shape.targets} positions used",
        flush=True,
    )


def watch(command: list[str], metrics: Path) -> tuple[list[dict[str, Any]], float]:
    """Run a pretraining; its logged steps but the first, and processor seconds of one of them."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process = psutil.Process(running.pid)
    seen: list[float] = []
    lines: list[dict[str, Any]] = []
    while running.poll() is None:
        if metrics.is_file():
            whole = [json.loads(line) for line in metrics.read_text().splitlines() if line.endswith("}")]
            lines = [line for line in whole if line.get("split") != "eval"]
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            if len(lines) > len(seen):
                seen += [times.user + times.system] * (len(lines) - len(seen))
        time.sleep(0.01 if os.environ.get("OMP_NUM_THREADS") == "1" else 1.0)  # looking costs a share of a core
    assert running.returncode == 0, command
    return lines[1:], (seen[-1] - seen[0]) / (len(seen) - 1)


if __name__ == "__main__":
    main()
