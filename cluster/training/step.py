"""One optimizer step: gradients of all micro-batches, a look at them, then the update or none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cluster.engine.exchange import Exchange
from cluster.engine.zero import Engine
from cluster.samples.feed import StepBatch
from cluster.settings import PretrainSettings
from cluster.training.guard import Guard, Trouble
from cluster.training.schedule import rate_at
from model.config import DocFormerV2Config
from model.flops import step_flops

LOSSES = ("loss", "loss_dlm", "loss_line", "loss_grid")


@dataclass(frozen=True)
class StepResult:
    """What a step gave, the same on every rank.

    Attributes:
        losses: of the global batch, by the names in LOSSES.
        right_line, right_grid: right answers of both encoder tasks in the global batch.
        flops: of all ranks.
        learning_rate: of the update.
        norm: of the whole gradient before clipping.
        trouble: what was wrong; None in nearly every step.
        updated: whether the weights were updated.
    """

    losses: dict[str, float]
    right_line: float
    right_grid: float
    flops: float
    learning_rate: float
    norm: float
    trouble: Trouble | None
    updated: bool


def take_step(
    engine: Engine,
    guard: Guard,
    batch: StepBatch,
    counts: Sequence[float],
    settings: PretrainSettings,
    config: DocFormerV2Config,
    exchange: Exchange,
) -> StepResult:
    """Make the update of `batch` unless `guard` finds trouble that forbids it; all ranks decide alike.

    Args:
        engine: holds model and optimizer.
        guard: judges the global loss and gradient norm.
        batch: this rank's part of the global batch.
        counts: targets of the global batch: denoising, token-to-line, token-to-grid.
        settings: of the run.
        config: of its model.
        exchange: among the ranks.
    """
    rate = rate_at(settings, batch.step)
    flops = sum(
        pages * step_flops(config, text, targets, pairs=settings.objectives.line_pairs).total
        for pages, text, targets in batch.shapes
    )
    denominators = torch.tensor(counts, dtype=torch.float32, device=engine.device)
    if config.dropout_rate:
        torch.manual_seed(dropout_seed(settings.seed, batch.step, exchange.rank))
    sums = torch.zeros(len(LOSSES) + 2, dtype=torch.float64, device=engine.device)
    for place, micro_batch in enumerate(batch.micro_batches, 1):
        inputs = {key: value.to(engine.device, non_blocking=True) for key, value in micro_batch.items()}
        out = engine.forward(inputs, denominators)
        engine.backward(out.loss, last=place == len(batch.micro_batches))
        sums += _seen(out, inputs)
    *losses, right_line, right_grid, all_flops = exchange.sum(
        torch.cat([sums.cpu(), torch.tensor([float(flops)], dtype=torch.float64)])
    ).tolist()
    troubles: list[Trouble | None] = []

    def accept(norm: float) -> bool:
        troubles.append(guard.judge(losses[0], norm))
        return troubles[0] is None or troubles[0].action == "record"

    norm = engine.update(rate, accept)
    trouble = troubles[0]
    return StepResult(
        dict(zip(LOSSES, losses, strict=True)),
        right_line,
        right_grid,
        all_flops,
        rate,
        norm,
        trouble,
        updated=trouble is None or trouble.action == "record",
    )


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """What a rank's dropout in a step follows from: never from the steps before, so that a resume goes on alike."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}:{rank}:dropout".encode()).digest()[:8], "little")


def _seen(out: Any, inputs: dict[str, Tensor]) -> Tensor:
    """A micro-batch's losses (its shares of the global ones) and its right answers of both encoder tasks."""
    zero = out.loss.detach().new_zeros(())
    # An objective that is off leaves no field in the output.
    losses = [out.get(name, zero).detach() for name in LOSSES]
    for task in ("line", "grid"):
        logits, targets = out.get(f"{task}_logits"), inputs.get(f"{task}_targets")
        losses.append(zero if logits is None else (logits.argmax(-1) == targets).sum())
    return torch.stack([value.double() for value in losses])
