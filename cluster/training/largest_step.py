"""One step on the largest shape that a run can meet: what it takes, what fits, and what to do where it does not."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cluster.engine.exchange import Exchange
from cluster.engine.zero import Engine
from cluster.samples.feed import PAD_TO
from cluster.settings import PretrainSettings
from cluster.training.memory import GB, forget_peak, is_out_of_memory, limit_bytes, peak_bytes
from model.config import DocFormerV2Config
from pipelines.errors import UsageError

# What an estimate from two small steps may be wrong by, and what else lives on the device.
HEADROOM = 0.92
ANY_TOKEN = 3


@dataclass(frozen=True)
class Trial:
    """What a step of `pages` pages a forward took: peak bytes of the worker that used most, seconds of the slowest.

    `limit` is what a worker may use, in bytes.
    """

    pages: int
    peak: int
    limit: int
    seconds: float

    def __str__(self) -> str:
        used = f"{self.peak / GB:.2f} of {self.limit / GB:.2f} GB"
        return f"largest step, {self.pages} pages a forward: {used}, {self.seconds:.2f} s"

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


class LargestStep:
    """Tries steps on batches of the largest shape; every rank makes the same calls.

    No update is made: weights, moments and order are as before.

    Args:
        engine: to try.
        settings: of the run.
        config: of its model.
        exchange: among the ranks.

    Attributes:
        limit: bytes a worker may use.
        interrupted: whether an allocation failed amid a step; the engine is then fit for nothing but being made anew.
    """

    interrupted = False

    def __init__(
        self, engine: Engine, settings: PretrainSettings, config: DocFormerV2Config, exchange: Exchange
    ) -> None:
        self._engine, self._settings, self._config, self._exchange = engine, settings, config, exchange
        own = settings.memory_limit_gb
        self.limit = int(own * GB) if own else int(limit_bytes(engine.device, exchange) * HEADROOM)
        self.ceiling = -(-settings.global_batch_pages // exchange.world_size)

    def check(self, pages: int) -> Trial:
        """Try `pages` pages a forward, after making sure by smaller steps that they will fit.

        Raises:
            UsageError: they do not fit; the message says what would.
        """
        fitting = largest_that_fits(self._try, self.limit, min(pages, self.ceiling))
        if fitting is None or fitting.pages < min(pages, self.ceiling):
            raise UsageError(self._advice(pages, fitting))
        return fitting

    def largest(self) -> Trial:
        """The largest number of pages a forward that fits.

        Raises:
            UsageError: not even one page does; the message says what to change.
        """
        fitting = largest_that_fits(self._try, self.limit, self.ceiling)
        if fitting is None:
            raise UsageError(self._advice(1, None))
        return fitting

    def _try(self, pages: int) -> Trial | None:
        forget_peak(self._engine.device)
        started, failed = time.monotonic(), False
        try:
            self._step(pages)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        trials = self._exchange.all((failed, peak_bytes(self._engine.device), time.monotonic() - started))
        if any(failed for failed, _, _ in trials):
            self.interrupted = True
            return None
        return Trial(pages, max(peak for _, peak, _ in trials), self.limit, max(seconds for _, _, seconds in trials))

    def _step(self, pages: int) -> None:
        batch = largest_batch(self._settings, self._config, pages)
        inputs = {key: value.to(self._engine.device) for key, value in batch.items()}
        denominators = torch.ones(3, device=self._engine.device)
        # Two micro-batches where the run has several: the second finds the first's gradients in memory.
        several = pages < self.ceiling
        for last in (False, True) if several else (True,):
            out = self._engine.forward(inputs, denominators)
            self._engine.backward(out.loss, last)
        self._engine.update(0.0, lambda norm: False)

    def _advice(self, pages: int, fitting: Trial | None) -> str:
        where = "GPU memory" if self._engine.device.type == "cuda" else "memory"
        found = f"micro_batch_pages: {fitting.pages}, which fits and gives the same results" if fitting else ""
        return (
            f"micro_batch_pages = {pages}: a step on the largest shape needs more than the {self.limit / GB:.2f} GB of "
            f"{where} that a worker has; set {advice(self._settings, self._exchange.world_size, found)}"
        )


def advice(settings: PretrainSettings, workers: int, fitting: str = "") -> str:
    """What to set where memory is short, the cheapest first."""
    ways = [fitting] if fitting else []
    if not settings.activation_checkpointing:
        ways.append("activation_checkpointing: true")
    if settings.zero < 3 and workers > 1:
        ways.append(f"zero: {max(2, settings.zero + 1)}")
    if settings.offload == "none" and settings.zero and torch.cuda.is_available():
        ways.append("offload: cpu")
    return " or ".join(ways) if ways else "more workers, more memory for each, or a smaller preset"


def largest_that_fits(attempt: Callable[[int], Trial | None], limit: int, ceiling: int) -> Trial | None:
    """The trial with most pages, up to `ceiling`, whose peak is at most `limit` bytes; None where not even one page is.

    Memory grows linearly with the pages: two small steps tell how far to go, so that no attempt goes far beyond the
    limit (on the host that would not fail but swap, or have a process killed). An attempt that fails gives None.
    """
    best = attempt(1)
    if best is None or best.peak > limit:
        return None
    first, upper = best, ceiling + 1  # `upper`: fewest pages known or estimated not to fit
    pages = min(2, ceiling)
    while best.pages < pages < upper:
        trial = attempt(pages)
        if trial is None or trial.peak > limit:
            upper = pages
            pages = (best.pages + upper) // 2
            continue
        best = trial
        a_page = max(1, (best.peak - first.peak) // (best.pages - first.pages))
        room = (limit - best.peak) // a_page
        # At most four times as much at once: small steps say little about large ones.
        pages = min(best.pages + max(1, room), 4 * best.pages, upper - 1)
        if room < 1:
            break
    return best


def largest_batch(settings: PretrainSettings, config: DocFormerV2Config, pages: int) -> dict[str, Tensor]:
    """A batch of `pages` pages, every length at its limit, of the shapes and types that `collate` gives."""
    objectives = settings.objectives
    text, targets, pairs = objectives.max_text_tokens, objectives.max_target_tokens, objectives.line_pairs
    text, targets = (-(-length // PAD_TO) * PAD_TO for length in (text, targets))
    batch = {
        "input_ids": torch.full((pages, text), ANY_TOKEN),
        "bbox": torch.zeros(pages, text, 4, dtype=torch.long),
        "bbox_hidden": torch.zeros(pages, text, dtype=torch.bool),
        "attention_mask": torch.ones(pages, text, dtype=torch.long),
        "pixel_values": torch.zeros(pages, 3, config.image_height, config.image_width, dtype=torch.uint8),
    }
    if objectives.denoising:
        batch["labels"] = torch.full((pages, targets), ANY_TOKEN)
    if objectives.token_to_line:
        batch["line_pairs"] = torch.zeros(pages, pairs, 2, dtype=torch.long)
        batch["line_targets"] = torch.zeros(pages, pairs, dtype=torch.long)
    if objectives.token_to_grid:
        batch["grid_targets"] = torch.zeros(pages, text, dtype=torch.long)
    return batch
