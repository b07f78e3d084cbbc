"""How long a training step takes: from a measurement here, or from a device's peak and an assumed share of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from cluster.planning.devices import Device
from cluster.planning.probe import ProbeRequest, probe
from cluster.planning.replay import replay
from cluster.planning.trace import Footprint, Shape, Trace, trace
from model.config import DocFormerV2Config
from model.flops import step_flops

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Bytes that an AdamW update reads and writes for a parameter: gradient, weight and two moments in fp32.
UPDATE_BYTES = 28
# Bytes/s of a GPU's memory that an update is reckoned with.
MEMORY_BYTES_A_SECOND = 2e12
CPU = torch.device("cpu")


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step's parts in one worker.

    Attributes:
        micro_batch: forward and backward of one micro-batch.
        update: of the weights in one worker of one.
        exchange: of gradients and weights between the workers of a step.
    """

    micro_batch: float
    update: float
    exchange: float

    def step(self, micro_batches: int, workers: int, zero: int) -> float:
        """One optimizer step; from ZeRO stage 1 on each worker updates its share."""
        return micro_batches * self.micro_batch + self.update / (workers if zero else 1) + self.exchange


def assumed(
    config: DocFormerV2Config,
    shape: Shape,
    device: Device,
    mfu: float,
    parameters: int,
    link_bytes: float,
    workers: int,
) -> StepTime:
    """Step time from `device`'s peak, by the project's one rule of FLOPs (`model.flops`).

    Args:
        config: the model.
        shape: of a micro-batch.
        device: that trains.
        mfu: share of its peak, 0..1.
        parameters: of the model.
        link_bytes: bytes/s between workers.
        workers: that exchange.
    """
    flops = shape.pages * step_flops(config, shape.text, shape.targets, pairs=shape.pairs).total
    # Gradients are summed and spread again: each goes out and comes in about once, in bf16.
    exchange = 2 * 2 * parameters * (workers - 1) / workers / link_bytes
    return StepTime(flops / (device.bf16_flops * mfu), UPDATE_BYTES * parameters / MEMORY_BYTES_A_SECOND, exchange)


@dataclass(frozen=True)
class Calibration:
    """What the smallest model says of this machine.

    Attributes:
        operator_s: seconds of the host for each operator besides the operator's own.
        update_s: seconds of an update for each parameter.
        process_bytes: of the process before it holds a model.
    """

    operator_s: float
    update_s: float
    process_bytes: float


def calibrate(precision: str, zero: int, memory_of: Callable[[Footprint], float]) -> Calibration:
    """Measure preset `tiny` on this machine's CPU; `memory_of` predicts its bytes without the process."""
    config, shape = DocFormerV2Config.preset("tiny"), Shape(8, 512, 128, 64)
    seen = probe(ProbeRequest(config.to_dict(), asdict(shape), zero, precision, activation_checkpointing=False))
    tiny = trace(config, shape, DTYPES[precision])
    footprint = Footprint(tiny.parameters, tiny.activation_bytes)
    own = max(0.0, seen.forward_backward_s - replay(tiny, CPU))
    return Calibration(
        own / sum(tiny.operators.values()), seen.update_s / tiny.parameters, seen.peak_bytes - memory_of(footprint)
    )


def measured(model: Trace, calibration: Calibration) -> StepTime:
    """Step time of one worker on this CPU from its operators, each run alone, and the calibration.

    The exchange between workers of one machine is left out.
    """
    seconds = replay(model, CPU) + calibration.operator_s * sum(model.operators.values())
    return StepTime(seconds, calibration.update_s * model.parameters, 0.0)
