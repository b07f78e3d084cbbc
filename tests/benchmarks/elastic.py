"""A run with `--workers 1:4` while Ray nodes come, give notice and die: how long each change takes, and what it costs.

    python tests/benchmarks/elastic.py

Real Ray nodes of one CPU each on this machine, beside a head that does no work. More nodes than the machine has cores
bring no speed; they show that the run takes them and lets go of them. Seconds are from what happened to the machines to
the end of the first step of the new size. At the end every step must have been logged once, in order, with the losses
and the order of samples that one undisturbed process has.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import yaml

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.settings import PretrainSettings  # noqa: E402
from model.tokenizer import train_tokenizer  # noqa: E402
from tests.benchmarks.samples import write_corpus  # noqa: E402
from tests.cluster.machines import Command, Machines  # noqa: E402
from tests.model.rows import words_of  # noqa: E402

STEPS = 12  # of each size, before the next change
CHANGES = (("1 node", 1), ("a node comes", 2), ("two more come", 4), ("a node is killed", 3), ("a node is drained", 2))


def settings_of(folder: Path, name: str, **changes: object) -> PretrainSettings:
    """A run of the smallest preset."""
    values = {
        "corpus": str(folder / "corpus"),
        "tokenizer": str(folder / "tokenizer"),
        "out": str(folder / name),
        "preset": "tiny",
        "workers": "1:4",
        "steps": 100_000,
        "global_batch_pages": 16,
        "micro_batch_pages": 4,
        "warmup_steps": 10,
        "eval_pages": 1,
        "eval_every": 100_000,
        "checkpoint_every": 10,
        "resize_every_s": 5,
    }
    return PretrainSettings.model_validate({**values, **changes})


def started(settings: PretrainSettings, address: str | None) -> Command:
    """The run as a command."""
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    return Command(Path(settings.out), config, address=address)


def change(machines: Machines, what: str) -> float:
    """Make a change; returns when, in seconds since the epoch."""
    if what == "a node is killed":
        return machines.kill()
    began = time.time()
    if what == "a node is drained":
        machines.drain(notice_s=30)
    else:
        for _ in range(2 if what.startswith("two") else 1):
            machines.add()
    return began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    os.environ.update({"RAY_worker_niceness": "0", "DS_ACCELERATOR": "cpu"})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "corpus", 256, 200)
        train_tokenizer([words_of(400, seed) for seed in range(8)], folder / "tokenizer", vocab_size=2_000)
        machines = Machines(1)
        try:
            run, began = started(settings_of(folder, "run"), machines.cluster.address), time.time()
            print(f"{'what':<20}{'workers':>8}{'seconds':>9}{'pages/s':>9}")
            for what, workers in CHANGES:
                began = began if what == "1 node" else change(machines, what)
                first = run.wait_for(lambda line, t=began, n=workers: line["time"] > t and line["world_size"] == n)
                run.wait_for(lambda line, step=first["step"]: line["step"] >= step + STEPS)
                lines = [line for line in run.metrics() if first["step"] < line["step"] <= first["step"] + STEPS]
                rate = statistics.median(line["samples_per_second"] for line in lines)
                print(f"{what:<20}{workers:>8}{first['time'] - began:>9.1f}{rate:>9.1f}", flush=True)
            run.end(signal.SIGTERM, 143)
        finally:
            machines.close()
        calm = started(settings_of(folder, "calm", workers=1, ray=False), None)
        calm.wait_for(lambda line: line["step"] >= len(run.metrics()), 600)
        calm.end(signal.SIGTERM, 143)
        pairs = list(zip(run.metrics(), calm.metrics(), strict=False))
        once = [ours["step"] for ours, _ in pairs] == list(range(1, len(pairs) + 1))
        order = all(ours["batch_digest"] == theirs["batch_digest"] for ours, theirs in pairs)
        worst = max(abs(ours["loss"] - theirs["loss"]) / theirs["loss"] for ours, theirs in pairs)
        print(
            json.dumps({"steps": len(pairs), "each_once": once, "same_samples": order, "worst_loss_difference": worst})
        )


if __name__ == "__main__":
    main()
