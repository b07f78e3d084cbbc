"""What the training engine can be set to, and how DeepSpeed is told."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class EngineSettings:
    """What the engine needs to know.

    Attributes:
        zero: ZeRO stage.
        precision: "fp32": weights, gradients and moments in fp32. "bf16": forward, backward and gradients of a
            micro-batch in bf16; master weights, moments and the update in fp32.
        accumulation: "fp32" or "bf16": in which the gradients of a step's micro-batches are summed under bf16.
        offload: "none", or "cpu": master weights, moments and the update in host memory (stages 1 to 3).
        activation_checkpointing: compute each layer's inside anew in the backward pass instead of keeping it.
        compile: whether the model runs through torch.compile (stages 0 to 2).
        weight_decay, beta2, gradient_clip: constants of the optimizer.
    """

    zero: int
    precision: str
    accumulation: str
    offload: str
    activation_checkpointing: bool
    compile: bool
    weight_decay: float
    beta2: float
    gradient_clip: float


def sums_in_one_piece(settings: EngineSettings, stage: int) -> bool:
    """Whether gradients go the project's own way (`cluster.engine.gradients`)."""
    return stage <= 1 and settings.offload == "none"


def sums_dtype(settings: EngineSettings) -> torch.dtype:
    """Type in which the gradients of a step are summed."""
    return torch.bfloat16 if (settings.precision, settings.accumulation) == ("bf16", "bf16") else torch.float32


def deepspeed_config(settings: EngineSettings, stage: int) -> dict[str, Any]:
    """What DeepSpeed is told, at ZeRO stage `stage`."""
    sums = settings.accumulation if settings.precision == "bf16" else "fp32"
    zero: dict[str, Any] = {
        "stage": stage,
        # Few large buckets: at these sizes the host's work for each bucket costs more than its bytes.
        "reduce_bucket_size": 500_000_000,
        "allgather_bucket_size": 500_000_000,
        "overlap_comm": False,
        # On a host a bucket of its own is two more copies of all gradients; stage 1 has another way (`gradients`).
        "contiguous_gradients": settings.offload == "cpu" or (torch.cuda.is_available() and stage > 1),
    }
    if settings.offload == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        # How many micro-batches make a step, and of what size, the caller says step by step.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        # Without ZeRO the norm is ours to take, for the gate; DeepSpeed would take it again.
        "gradient_clipping": settings.gradient_clip if stage else 0.0,
        "bf16": {"enabled": settings.precision == "bf16"},
        # In the weights' type, as it thinks where the sums are ours: else it takes another optimizer for stage 1.
        "data_types": {"grad_accum_dtype": settings.precision if sums_in_one_piece(settings, stage) else sums},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        # The compiled optimizer that DeepSpeed prefers for offload would need a compiler on every machine.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
