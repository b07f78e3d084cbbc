"""How long a training step takes: from a measurement here, or from a device's peak and an assumed share of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from cluster.planning.devices import Device
from cluster.planning.probe import ProbeRequest, probe
from cluster.planning.replay import DTYPES, ReplayRequest, replay
from cluster.planning.side_by_side import SideBySide
from cluster.planning.trace import Footprint, Shape, footprint
from model.config import DocFormerV2Config
from model.flops import step_flops

# Bytes that an AdamW update reads and writes for a parameter: gradient, weight and two moments in fp32.
UPDATE_BYTES = 28
# Bytes/s of a GPU's memory that an update is reckoned with.
MEMORY_BYTES_A_SECOND = 2e12
# The smallest model with 50 million parameters more, which do little: in a decoder of few positions.
WIDE = {"num_layers": 1, "num_decoder_layers": 24, "d_ff": 8192}


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
        parameter_s: seconds of the engine for each parameter of a step: exchange with itself, norm, update.
        process_bytes: of the process before it holds a model.
    """

    operator_s: float
    parameter_s: float
    process_bytes: float


def calibrate(
    precision: str, zero: int, memory_of: Callable[[Footprint], float], beside: SideBySide | None = None
) -> Calibration:
    """Measure preset `tiny` on this machine's CPU.

    Args:
        precision: "fp32" or "bf16".
        zero: ZeRO stage.
        memory_of: predicts its bytes without the process.
        beside: as the workers of this machine run.
    """
    tiny, shape = DocFormerV2Config.preset("tiny"), Shape(8, 512, 128, 64)
    request = ProbeRequest(tiny.to_dict(), asdict(shape), zero, precision, activation_checkpointing=False)
    seen = probe(request, beside)
    alone = replay(ReplayRequest(request.model, request.shape, precision, activation_checkpointing=False), beside)
    held = footprint(tiny, shape, DTYPES[precision])
    # The engine's work is on all parameters: so many of them, in so many tensors, that no cache holds them, and a batch
    # that is soon done.
    wide, short = DocFormerV2Config.preset("tiny", **WIDE), asdict(Shape(1, 16, 16, 1))
    engine = probe(ProbeRequest(wide.to_dict(), short, zero, precision, activation_checkpointing=False), beside)
    return Calibration(
        operator_s=max(0.0, seen.model_s - alone.total_s) / alone.operators,
        # The engine's gradients settle in place, where the bare model adds them up: it can be the quicker of the two,
        # but the update is to be paid in any case.
        parameter_s=(max(0.0, engine.forward_backward_s - engine.model_s) + engine.update_s) / engine.parameters,
        process_bytes=seen.peak_bytes - memory_of(held),
    )


def measured(
    config: DocFormerV2Config,
    shape: Shape,
    precision: str,
    checkpointing: bool,
    parameters: int,
    known: Calibration,
    beside: SideBySide | None = None,
) -> StepTime:
    """Step time of one worker on this CPU from the model's operators, each run alone, and the calibration.

    The exchange between workers of one machine is left out.
    """
    alone = replay(ReplayRequest(config.to_dict(), asdict(shape), precision, checkpointing), beside)
    seconds = alone.total_s + known.operator_s * alone.operators
    return StepTime(seconds, known.parameter_s * parameters, 0.0)
