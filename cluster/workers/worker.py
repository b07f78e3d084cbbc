"""What one training process runs, whoever launched it, and how its end is put on record.

An error of the program or its input is noted in the run's events: it would come back, so the launcher ends the run. A
lost peer, or a machine's notice of its end, is not: the launcher starts again from the last checkpoint.
"""

import os
import traceback
from collections.abc import Callable

from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings
from pipelines.errors import JobError, UsageError

LOST_PEER = ("gloo", "nccl", "connection closed", "connection reset", "connection refused", "broken pipe", "timed out")


def work(settings: PretrainSettings, leaving: Callable[[], bool] = lambda: False) -> None:
    """Train as one worker to the run's end; torch.distributed must be up.

    Args:
        settings: of the run.
        leaving: says whether this worker's machine goes away.

    Raises:
        JobError: training ended early: an error, which is noted; a lost peer; or a checkpoint after `leaving`.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch.distributed as dist
    from transformers.utils.logging import disable_progress_bar

    from cluster.training.loop import train
    from model.errors import ModelInputError

    disable_progress_bar()
    run = RunFolder(settings.out)
    try:
        outcome = train(settings, leaving)
    except Exception as error:
        known = isinstance(error, (UsageError, JobError, ModelInputError))
        text = str(error) if known else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if not lost_peer(error):
            usage = isinstance(error, (UsageError, ModelInputError))
            run.note("error", text, usage=usage, rank=dist.get_rank(), traceback=traceback.format_exc())
        raise JobError(text) from None  # any exception may be raised here, and not all survive the way to a launcher
    if outcome.leaves:
        raise JobError(f"saved step {outcome.step}, because a machine goes away")
    if dist.get_rank() == 0:
        ended = f"stopped by {outcome.signal}" if outcome.signal else "complete"
        run.note("end", f"{ended} at step {outcome.step}", signal=outcome.signal, step=outcome.step)


def lost_peer(error: Exception) -> bool:
    """Whether a collective call failed because another worker went away.

    The project's own errors never say so: the paths and reasons in them may hold any word.
    """
    text = str(error).lower()
    own = isinstance(error, JobError)
    return isinstance(error, RuntimeError) and not own and any(sign in text for sign in LOST_PEER)
