"""What rank 0 writes down about a run while it trains: events, and lines of metrics with their place in the run."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cluster.engine.exchange import Exchange
from cluster.runs.folder import RunFolder
from cluster.samples.feed import StepBatch
from cluster.settings import PretrainSettings
from cluster.training.memory import GB, peak_bytes
from cluster.training.metrics import MetricsLog
from cluster.training.state import TrainingState
from cluster.training.step import LOSSES, StepResult
from model.flops import mfu


class Record:
    """Writes events.jsonl and metrics.jsonl; every rank makes the same calls, rank 0 writes.

    Args:
        run: its folder.
        settings: of the run.
        exchange: among the ranks.
        state: of the run, whose counters each line says.
        step: that this start goes on after.

    Raises:
        UsageError: a tracker is asked for whose package is not installed.
    """

    def __init__(
        self, run: RunFolder, settings: PretrainSettings, exchange: Exchange, state: TrainingState, step: int
    ) -> None:
        self._run, self._settings, self._exchange, self._state = run, settings, exchange, state
        self._restarts = len(run.noted("start"))
        exchange.all(None)  # every rank has counted the earlier starts
        self._metrics: MetricsLog | None = None
        if exchange.rank == 0:
            self._metrics = MetricsLog(run.metrics, step, settings.model_dump(mode="json"))
            text = f"goes on after step {step}" if step else state.origin
            run.note("start", text, step=step, world_size=exchange.world_size, zero=settings.zero)

    def note(self, kind: str, text: str, **values: Any) -> None:
        """Add an event."""
        if self._exchange.rank == 0:
            self._run.note(kind, text, **values)

    def committed(self, facts: Mapping[str, Any]) -> None:
        """Note a checkpoint that was committed."""
        text = (
            f"step {facts['step']}: {facts['bytes'] / GB:.3f} GB; training stood still for {facts['stalled']:.2f} s "
            f"of {facts['seconds']:.2f} s"
        )
        self.note("checkpoint", text, **facts)

    def step(self, batch: StepBatch, result: StepResult, counts: Sequence[float], wait: float, seconds: float) -> None:
        """Write a step's line.

        Args:
            batch: this rank's part of it.
            result: of the step.
            counts: of the global batch: targets of denoising, token-to-line and token-to-grid, and tokens.
            wait: seconds that the step waited for its data.
            seconds: of the whole step, that wait included.
        """
        device = self._state.engine.device
        parts = self._exchange.all((batch.page_ids, peak_bytes(device)))
        if self._metrics is None:
            return
        page_ids = "".join(page for pages, _ in parts for page in pages)
        kind = torch.bfloat16 if self._state.bf16 else torch.float32
        self._metrics.append(
            {
                "split": "train",
                **self._place(batch.step, batch.epoch),
                "tokens": int(counts[3]),
                **result.losses,
                # Without a target there is no loss.
                **{name: math.nan for name, count in zip(LOSSES[1:], counts, strict=False) if not count},
                "acc_line": _ratio(result.right_line, counts[1]),
                "acc_grid": _ratio(result.right_grid, counts[2]),
                "learning_rate": result.learning_rate,
                "grad_norm": result.norm,
                "tokens_per_second": counts[3] / seconds,
                "samples_per_second": self._settings.global_batch_pages / seconds,
                "mfu": mfu(result.flops / seconds / self._exchange.world_size, device, kind),
                "data_wait": wait,
                "step_seconds": seconds,
                "peak_memory_bytes": max(peak for _, peak in parts),
                "troubles": self._state.guard.troubles,
                "skipped": self._state.skipped,
                "batch_digest": hashlib.sha256(page_ids.encode()).hexdigest(),
            }
        )

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Write a line of held-out scores."""
        if self._metrics is not None:
            self._metrics.append({"split": "eval", **self._place(self._state.step, epoch), **scores})

    def _place(self, step: int, epoch: int) -> dict[str, Any]:
        return {
            "step": step,
            "epoch": epoch,
            "samples": step * self._settings.global_batch_pages,
            "world_size": self._exchange.world_size,
            "restarts": self._restarts,
            "time": time.time(),
        }

    def close(self) -> None:
        """Close the trackers."""
        if self._metrics is not None:
            self._metrics.close()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
