"""The three pretraining losses: each a sum over its targets, divided by a count that may be the whole batch's."""

from torch import Tensor
from torch.nn import functional as F

IGNORED = -100


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross-entropies (nats, fp32) of logits [..., classes] at labels int64 [...] that are not -100."""
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")


def target_count(labels: Tensor) -> Tensor:
    """Number of labels that count, as a float32 scalar on their device."""
    return (labels != IGNORED).sum().float()


def mean_over(total: Tensor, count: Tensor) -> Tensor:
    """`total / count`, and 0 where nothing counts."""
    return total / count.clamp(min=1.0)
