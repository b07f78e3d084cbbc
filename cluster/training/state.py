"""What a run has learned and counted so far: the part of it that a checkpoint stores and a resume brings back."""

from typing import Any

import torch

from cluster.checkpoints.checkpoint import Checkpoint
from cluster.engine.exchange import Exchange
from cluster.engine.settings import EngineSettings
from cluster.engine.zero import Engine
from cluster.settings import PretrainSettings
from cluster.training.assemble import Parts, new_model
from cluster.training.guard import Guard, Policy
from cluster.training.step import StepResult


class TrainingState:
    """The engine with its weights and moments, and the run's counters; at its start until `load`.

    Attributes:
        engine, guard: see there.
        origin: a line about where the first weights came from.
        bf16: whether the forward runs in bf16.
        shapes: of every parameter.
        step: optimizer steps done, those included whose update was left out.
        updates: updates made.
        skipped: samples whose gradient is in no update.
    """

    def __init__(self, settings: PretrainSettings, parts: Parts, exchange: Exchange) -> None:
        self._settings, self._parts, self._exchange = settings, parts, exchange
        model, self.origin = new_model(settings, parts)
        self.shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and torch.cuda.is_available())
        self.engine = Engine(
            model,
            EngineSettings(
                zero=settings.zero,
                precision="bf16" if self.bf16 else "fp32",
                accumulation=settings.accumulation,
                offload=settings.offload,
                activation_checkpointing=settings.activation_checkpointing,
                compile=settings.compile == "always"
                or (settings.compile == "auto" and torch.cuda.is_available() and settings.zero < 3),
                weight_decay=settings.weight_decay,
                beta2=settings.beta2,
                gradient_clip=settings.gradient_clip,
            ),
        )
        self.guard = Guard(
            Policy(
                on_nan=settings.on_nan,
                on_spike=settings.on_spike,
                loss_factor=settings.spike_loss_factor,
                norm_factor=settings.spike_norm_factor,
                window=settings.spike_window,
                limit=settings.trouble_limit,
            )
        )
        self.step = self.updates = self.skipped = 0

    def load(self, checkpoint: Checkpoint, rewound: bool = False) -> None:
        """Go on from `checkpoint`; when `rewound`, troubles since then still count."""
        facts = checkpoint.index
        self.step, self.updates, self.skipped = (int(facts[name]) for name in ("step", "updates", "skipped"))
        self.engine.load(checkpoint.read, self.updates)
        self.guard.restore(facts["guard"], keep_count=rewound)

    def pass_to(self, step: int) -> None:
        """Leave out the batches of the steps up to and including `step`."""
        self.skipped += (step - self.step) * self._settings.global_batch_pages
        self.step = step

    def took(self, step: int, result: StepResult) -> None:
        """Count a step."""
        if result.updated:
            self.step, self.updates = step, self.updates + 1
        else:
            self.pass_to(step)

    def facts(self) -> dict[str, Any]:
        """What the index of a checkpoint says besides the weights, as JSON values."""
        return {
            "samples": self.step * self._settings.global_batch_pages,
            "updates": self.updates,
            "skipped": self.skipped,
            "guard": self.guard.state(),
            "seed": self._settings.seed,
            "world_size": self._exchange.world_size,
            "zero": self._settings.zero,
            "corpora": self._parts.corpora.fingerprints(),
            "model": self._parts.config.to_dict(),
        }
