"""`pretrain --dry-run`: launches the workers for one step on the largest shape, in a folder that goes away again."""

import shutil
from pathlib import Path
from typing import Any

from cluster.pretraining import pretrain
from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings
from cluster.training.memory import GB
from pipelines.errors import UsageError
from pipelines.folders.blame import named


def dry_run(settings: PretrainSettings) -> dict[str, Any]:
    """What the largest step takes: pages of a forward, memory of the worker that needs most, seconds.

    The run's own folder and what it writes elsewhere (checkpoint store, trackers) are neither read nor written; the
    workers meet in a folder beside it.

    Raises:
        UsageError: bad input, or the step does not fit in memory; the message says what would.
        JobError: the workers failed.
    """
    out = Path(settings.out).expanduser().absolute()
    elsewhere = dict.fromkeys(("checkpoint_store", "wandb_project", "mlflow_experiment"))
    beside = out.with_name(f"{out.name}.dry-run")
    if beside.exists():
        raise UsageError(f"{beside}: is there already; another dry run may use it, else delete it")
    try:
        with named(out, beside):
            pretrain(settings.model_copy(update={**elsewhere, "out": str(beside)}))
        trial = RunFolder(beside).noted("largest")[-1]
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return {
        "micro_batch_pages": trial["pages"],
        "peak_memory_gb": round(trial["peak"] / GB, 3),
        "memory_limit_gb": round(trial["limit"] / GB, 3),
        "seconds": round(trial["seconds"], 3),
        "workers": settings.workers,
        "zero": settings.zero,
    }
