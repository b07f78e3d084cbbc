"""The score of a key that may not be seen."""

import torch

# Finite, so that a row without any visible key gives a mean and not NaN; exp(MASKED - maximum) is exactly 0.
MASKED = -1e9


def masked_score(dtype: torch.dtype) -> float:
    """`MASKED` as `dtype` can hold it: fp16 ends at 65,504."""
    return max(MASKED, torch.finfo(dtype).min)
