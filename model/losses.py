"""The three pretraining losses: each a sum over its targets, divided by a count that may be the whole batch's."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.compiled import by_operators
from model.token_table import TableGradient

IGNORED = -100
# Logits held in fp32 at a time: as many as a core's cache holds on a CPU, enough to keep a GPU busy.
CPU_LOGITS, GPU_LOGITS = 2**18, 2**27


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross-entropies (nats, fp32) of logits [..., classes] at labels int64 [...] that are not -100."""
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")


def _to_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """The summed cross-entropy of logits [N, V], which become its gradient."""
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    rows = max(1, (CPU_LOGITS if logits.device.type == "cpu" else GPU_LOGITS) // logits.shape[1])
    # For a GPU a compiled step fuses the whole by itself, and would unroll a loop.
    whole = torch.compiler.is_compiling()
    parts = [logits] if whole else torch.split(logits, rows)
    for part, wanted in zip(parts, [labels] if whole else torch.split(labels, rows), strict=True):
        counts = wanted != IGNORED
        target = wanted.clamp(min=0)[:, None]
        logarithms = part.float().log_softmax(-1)
        total -= (logarithms.gather(1, target)[:, 0] * counts).sum()
        grad_part = logarithms.exp_().scatter_add_(1, target, torch.full_like(target, -1, dtype=torch.float32))
        part.copy_(grad_part.mul_(counts[:, None]))
    return total


# A compiler for CPUs would hold all logits in fp32.
@torch.library.custom_op("docformer::cross_entropy_to_gradient", mutates_args=("logits",), device_types="cpu")
def _to_gradient_in_parts(logits: Tensor, labels: Tensor) -> Tensor:
    return _to_gradient(logits, labels)


@_to_gradient_in_parts.register_fake
def _(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.new_empty((), dtype=torch.float32)


class OutputCrossEntropy(torch.autograd.Function):
    """Output layer and summed cross-entropy in one: the fp32 logits exist a few rows at a time, in no whole tensor.

    Softmax and its gradient are taken in fp32 while the rows are at hand; what is kept for the backward pass is the
    gradient of the logits, in the type and the place of the logits.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, labels: Tensor, gradient: TableGradient | None = None
    ) -> Tensor:
        """Scalar fp32 from states [N, D], weight [V, D] and labels int64 [N] (-100 ignored), all in one type.

        The weight's gradient is added to `gradient` where that is given.
        """
        logits = states @ weight.T
        total = (_to_gradient_in_parts if by_operators(logits) else _to_gradient)(logits, labels)
        ctx.save_for_backward(states, weight, logits)
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients of states and weight."""
        states, weight, grad_logits = ctx.saved_tensors
        scale = grad_total.to(states.dtype)
        grad_weight = None
        if ctx.gradient is None:
            grad_weight = grad_logits.T @ (states * scale)
        else:
            ctx.gradient.add_product(grad_logits.T, states * scale)
        return (grad_logits @ weight) * scale, grad_weight, None, None


def output_cross_entropy(
    states: Tensor, weight: Tensor, labels: Tensor, gradient: TableGradient | None = None
) -> Tensor:
    """`summed_cross_entropy(states @ weight.T, labels)` for states [N, D], in the type autocast gives to products;
    the weight's gradient is added to `gradient` where that is given.
    """
    kind = states.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        states, weight = states.to(dtype), weight.to(dtype)
    with torch.autocast(kind, enabled=False):
        total: Tensor = OutputCrossEntropy.apply(states, weight, labels, gradient)
    return total


def target_count(labels: Tensor) -> Tensor:
    """Number of labels that count, as a float32 scalar on their device."""
    return (labels != IGNORED).sum().float()


def mean_over(total: Tensor, count: Tensor) -> Tensor:
    """`total / count`, and 0 where nothing counts."""
    return total / count.clamp(min=1.0)
