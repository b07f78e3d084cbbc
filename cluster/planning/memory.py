"""Memory of one training worker, by what it is for.

Bytes of each state for a parameter, and over how many workers it is spread, follow DeepSpeed's ZeRO stages (Rajbhandari
et al. 2020, section 5) and what its implementation keeps besides: a flat copy of the gradients it is exchanging.
"""

from dataclasses import dataclass

from cluster.planning.trace import Footprint, Trace

# Elements of the engine's exchange buffers, at most (cluster/engine/zero.py).
BUCKET_ELEMENTS = 500_000_000
# Elements of weights that stage 3 keeps gathered, at most (DeepSpeed's stage3_max_live_parameters).
LIVE_ELEMENTS = 1_000_000_000


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker.

    Attributes:
        weights: that the products read.
        gradients: of a micro-batch, and their sum over a step.
        optimizer: master weights where there are any, and both moments.
        buffers: flat copies of what is under exchange, or gradients that a backward pass has just made.
        activations: of a micro-batch, at most, temporary ones included.
        checkpoint: copy from which a checkpoint is written, where that is the same memory.
        process: what the process and its libraries hold before any of these.
    """

    weights: float
    gradients: float
    optimizer: float
    buffers: float
    activations: float
    checkpoint: float
    process: float

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(vars(self).values()))


def memory(
    model: Trace | Footprint,
    zero: int,
    workers: int,
    precision: str,
    offload: bool = False,
    copies: bool = False,
    process: float = 0.0,
) -> Memory:
    """Memory of one of `workers` workers at ZeRO stage `zero`.

    Args:
        model: a micro-batch, with weights in the type that `precision` makes them.
        zero: 0 to 3; under "bf16" stage 0 is run as stage 1 (`cluster.engine.zero`).
        workers: over which states are spread.
        precision: "fp32" or "bf16".
        offload: optimizer states in host memory.
        copies: checkpoints are written in the background, on a CPU: their copy is in the same memory.
        process: bytes of the process itself; on a GPU 0 or the context's.
    """
    elements = model.parameters
    size = 2 if precision == "bf16" else 4
    stage = max(zero, 1) if precision == "bf16" else zero
    bucket = size * min(elements, BUCKET_ELEMENTS)
    own = elements / (workers if stage else 1)
    in_place = precision == "fp32" and not offload and stage < 3  # AdamW updates the weights (cluster/engine/zero.py)
    # Summed where they are exchanged (cluster/engine/gradients.py), or a micro-batch's and the sum of the own share.
    gradients = 4 * elements if stage == 0 or (stage == 1 and not offload) else size * elements + 4 * own
    if stage == 3:
        gradients = (size + 4) * own
    gathered = 0.0
    if stage == 3:
        # Weights that a step has gathered stay until others need the room, and are gathered through a second buffer.
        gathered = size * min(elements, LIVE_ELEMENTS)
    return Memory(
        weights=gathered + size * (own if stage == 3 else elements),
        gradients=gradients,
        optimizer=0.0 if offload else (8 if in_place else 12) * own,
        buffers=bucket + gathered,
        activations=model.activation_bytes,
        checkpoint=12 * own if copies else 0.0,
        process=process,
    )
