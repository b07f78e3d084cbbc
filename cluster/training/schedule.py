"""The learning rate of each step: linear warm-up, then a cosine down to a share of the peak."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: int, final_share: float) -> float:
    """The rate of optimizer step `step` (1-based) of `steps`."""
    if step <= warmup:
        return peak * step / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * done)))
