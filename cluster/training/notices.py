"""What workers are asked between two steps: to stop the run, to leave as a machine goes away, or to save and go on.

Any rank may know of it, each step's sum tells all, so that all do the same after the same step.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals

import torch
from torch import Tensor

from cluster.runs.folder import RunFolder


@dataclass(frozen=True)
class Asked:
    """What is asked of all workers.

    Attributes:
        stop: the signal that ends the run after a checkpoint.
        leave: save and end this group of workers; the launcher starts another without the machine that goes away.
        save: write a checkpoint and go on.
    """

    stop: str | None
    leave: bool
    save: bool

    @property
    def end(self) -> bool:
        """Whether this group of workers ends, after a checkpoint."""
        return self.stop is not None or self.leave


class Notices:
    """Collects what is asked of a run's workers.

    Args:
        run: whose files `stop` and `save` ask.
        first_rank: whether this is rank 0, which looks at files and clock for all.
        leaving: says whether this worker's machine goes away.
        save_every_s: longest time between two checkpoints, in seconds.
    """

    def __init__(self, run: RunFolder, first_rank: bool, leaving: Callable[[], bool], save_every_s: float) -> None:
        self._run, self._first_rank, self._leaving, self._save_every_s = run, first_rank, leaving, save_every_s
        self._saved_at = time.monotonic()

    def flags(self) -> Tensor:
        """float64 [3] of this rank: the signal to stop by, 1 to leave, 1 to save."""
        stop = save = 0.0
        if self._first_rank:
            asked = self._run.stop.read_text().strip() if self._run.stop.exists() else ""
            stop = float(Signals[asked]) if asked else 0.0
            late = time.monotonic() - self._saved_at > self._save_every_s
            save = float(late or self._run.save.exists())
        return torch.tensor([stop, float(self._leaving()), save], dtype=torch.float64)

    @staticmethod
    def read(sums: Tensor) -> Asked:
        """What the sums of all ranks' `flags` ask."""
        stop, leave, save = sums.tolist()
        return Asked(Signals(int(stop)).name if stop else None, leave > 0, save > 0)

    def saved(self) -> None:
        """A checkpoint has begun: the next is due a full time later."""
        self._saved_at = time.monotonic()
        if self._first_rank:
            self._run.save.unlink(missing_ok=True)
