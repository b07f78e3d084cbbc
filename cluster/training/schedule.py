"""The learning rate of each step: linear warm-up, then a cosine down to a share of the peak."""

import math

from cluster.settings import PretrainSettings


def learning_rate(step: int, steps: int, peak: float, warmup: int, final_share: float) -> float:
    """The rate of optimizer step `step` (1-based) of `steps`."""
    if step <= warmup:
        return peak * step / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * done)))


def rate_at(settings: PretrainSettings, step: int) -> float:
    """The rate of a run's optimizer step `step`."""
    return learning_rate(
        step, settings.steps, settings.learning_rate, settings.warmup_steps, settings.final_learning_rate_share
    )


def moved_end(before: PretrainSettings, now: PretrainSettings, step: int) -> str:
    """What a resume with other `steps` does to the rate of a run that is at `step`, in words."""
    was, becomes = rate_at(before, step), rate_at(now, step + 1)
    return (
        f"steps was {before.steps} and is {now.steps}: the learning rate's cosine ends at step {now.steps} now, and "
        f"the rate goes from {was:.3g} at step {step} to {becomes:.3g} at step {step + 1}"
    )
