"""What Ray Train runs in each worker process: the training loop, and an ear for the machine's end."""

import signal
import threading
from types import FrameType
from typing import Any

import ray
from ray.train.v2._internal.execution.callback import WorkerCallback
from ray.train.v2._internal.execution.context import get_train_context

from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings

# This process was told to end: what a machine that is taken away sends to all of them.
_terminated = threading.Event()


class TakeNotice(WorkerCallback):  # type: ignore[misc]
    """Turns a worker's SIGTERM into a notice; runs in its main thread, as signal handlers must."""

    def after_init_train_context(self) -> None:
        """Replace Ray's handler, which would end the process at once."""

        def note(number: int, frame: FrameType | None) -> None:
            _terminated.set()

        signal.signal(signal.SIGTERM, note)


class MachineNotice:
    """Says whether a machine of this group goes away: by SIGTERM to this process, or drained by Ray.

    Args:
        run: where this worker's own machine is put on record, once.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run, self._leaving = run, False

    def __call__(self) -> bool:
        """True from the first notice on."""
        if self._leaving:
            return True
        context = get_train_context()
        drained = context.preemption_context.preemption_info
        mine = drained is not None and context.get_world_rank() in drained.preempted_ranks
        self._leaving = _terminated.is_set() or drained is not None
        if _terminated.is_set() or mine:
            here = ray.get_runtime_context().get_node_id()
            how = "is drained" if mine else "sent SIGTERM to a worker"
            self._run.note("leaving", f"node {ray.util.get_node_ip_address()} ({here[:8]}) {how}", node=here)
        return self._leaving


def run_worker(config: dict[str, Any]) -> None:
    """Train as one worker; `config` holds the settings as JSON."""
    import torch

    from cluster.workers.worker import work

    settings = PretrainSettings.model_validate_json(config["settings"])
    booked = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, int(booked)))
    work(settings, MachineNotice(RunFolder(settings.out)))
