"""What one training process runs, whoever launched it, and how its end is put on record.

An error of the program or its input would come back at every restart: it is noted, and a restart that finds it noted
returns at once, which ends the run. A lost peer is raised on: the launcher starts again from the last checkpoint.
"""

import os
import time
import traceback

from cluster.run_folder import RunFolder
from cluster.settings import PretrainSettings
from pipelines.errors import JobError, UsageError

# How long a worker that lost its peers waits for one of them to say that it stopped with an error.
PEER_ERROR_WAIT_S = 5.0
LOST_PEER = ("gloo", "nccl", "connection closed", "connection reset", "connection refused", "broken pipe", "timed out")


def work(settings: PretrainSettings) -> None:
    """Train as one worker to the run's end; torch.distributed must be up."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch.distributed as dist
    from transformers.utils.logging import disable_progress_bar

    from cluster.training import train
    from model.errors import ModelInputError

    disable_progress_bar()
    run = RunFolder(settings.out)
    if run.noted_since_launch("error"):
        return
    try:
        outcome = train(settings)
    except Exception as error:
        if lost_peer(error):
            deadline = time.monotonic() + PEER_ERROR_WAIT_S
            while not run.noted_since_launch("error"):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            return
        known = isinstance(error, (UsageError, JobError, ModelInputError))
        text = str(error) if known else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        usage = isinstance(error, (UsageError, ModelInputError))
        run.note("error", text, usage=usage, rank=dist.get_rank(), traceback=traceback.format_exc())
        if dist.get_world_size() > 1:
            raise  # the others wait for this rank in a collective call: the launcher ends them
        return
    if dist.get_rank() == 0:
        ended = f"stopped by {outcome.signal}" if outcome.signal else "complete"
        run.note("end", f"{ended} at step {outcome.step}", signal=outcome.signal, step=outcome.step)


def lost_peer(error: Exception) -> bool:
    """Whether a collective call failed because another worker went away."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in LOST_PEER)
