"""Machines that can be planned for without having them: memory, peaks, and what one costs."""

from dataclasses import dataclass

GB = 1e9


@dataclass(frozen=True)
class Device:
    """A GPU as its maker describes it, and the price of an hour.

    Attributes:
        memory_bytes: of one device.
        bf16_flops: dense peak in FLOP/s.
        link_bytes: bytes/s that one device exchanges with the others of its node.
        dollars, spot_dollars: of one device for an hour, on demand and as spot; a guess to be replaced by one's own.
    """

    memory_bytes: float
    bf16_flops: float
    link_bytes: float
    dollars: float
    spot_dollars: float


DEVICES = {
    "h200": Device(141 * GB, 989e12, 450 * GB, 3.8, 1.9),
    "h100": Device(80 * GB, 989e12, 450 * GB, 3.0, 1.5),
    "a100": Device(80 * GB, 312e12, 300 * GB, 1.8, 0.9),
    "l40s": Device(48 * GB, 362e12, 32 * GB, 1.2, 0.6),
    "l4": Device(24 * GB, 121e12, 16 * GB, 0.7, 0.3),
}

# Share of the peak to reckon with where nothing was measured: our targets at 640 + 128 positions, not results.
ASSUMED_MFU = {"tiny": 0.05, "small": 0.25, "base": 0.40, "large": 0.45}
