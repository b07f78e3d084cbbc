"""Real training processes over gloo, without a launcher: they train through a list of runs, one after the other."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cluster.runs.folder import RunFolder
from cluster.runs.resume import prepare
from cluster.settings import PretrainSettings

FACTS = {"corpora": {}, "tokenizer_digest": "as tested"}


def train_together(
    runs: list[PretrainSettings], folder: Path, workers: int = 2, before: Callable[[], None] | None = None
) -> None:
    """Train every run of `runs` with `workers` processes, each from its newest checkpoint; `before` runs in each.

    They are forked from a process that has everything imported (`conftest`): imports would take longer than training.
    """
    for run in runs:
        prepare(RunFolder(run.out), run, FACTS, resume=True)
    texts = [run.model_dump_json() for run in runs]
    meeting = folder / f"meeting-{os.urandom(4).hex()}"
    mp.start_processes(_work, (workers, str(meeting), texts, before), nprocs=workers, start_method="forkserver")


def _work(rank: int, workers: int, meeting: str, texts: list[str], before: Callable[[], None] | None) -> None:
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(workers)})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    from cluster.training.loop import train

    if before is not None:
        before()
    for text in texts:
        train(PretrainSettings.model_validate_json(text))
    dist.destroy_process_group()
