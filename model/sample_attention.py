"""Attention one sample at a time: the fast path on CPUs.

One sample's scores fit in a core's cache where a batch's do not, so summing the bias, masking and normalising cost no
trip to memory; keys past a sample's last visible one are never multiplied at all, and the only thing kept for the
backward pass is the weights. Queries, keys and values are read where the projections left them, without a copy. The
position bias is cast once a forward and its gradient summed over samples and layers in one fp32 buffer.
"""

from typing import Any

import torch
from torch import Tensor

from model.masking import MASKED


class SharedBias:
    """A bias in the products' type for all layers of a stack, and the one sum of their gradients.

    Attributes:
        values: [1, H, Q, K] or [1, 1, Q, K] in the products' type.
    """

    def __init__(self, bias: Tensor, dtype: torch.dtype) -> None:
        self.summed: Tensor | None = None
        self.values: Tensor = _Share.apply(bias, dtype, self)

    def add(self, sample: Tensor, keys: int) -> None:
        """Add one sample's gradient [H, Q, keys] of the scores over the first `keys` keys."""
        if self.summed is None:
            self.summed = torch.zeros(self.values.shape, dtype=torch.float32)
        shared = sample if self.summed.shape[1] > 1 else sample.sum(0, keepdim=True, dtype=torch.float32)
        # Not `+=`, which would write the whole back onto itself.
        self.summed[0, :, :, :keys].add_(shared)


class _Share(torch.autograd.Function):
    """The bias cast; its gradient is what the layers have added up by the time autograd comes here."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, dtype: torch.dtype, shared: SharedBias) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.shared, ctx.dtype = shared, bias.dtype
        return bias.to(dtype, memory_format=torch.contiguous_format, copy=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        summed, ctx.shared.summed = ctx.shared.summed, None
        if summed is not None and grad is not None:
            summed = summed + grad
        return summed if grad is None or summed is not None else grad.to(ctx.dtype), None, None


class SampleAttention(torch.autograd.Function):
    """Weights and sums of `attention()`, sample by sample; shapes as there."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        shared: SharedBias | None,
        visible: Tensor | None,
    ) -> Tensor:
        """[B, H, Q, C] of queries [B, H, Q, C], keys and values [B, H, K, C]; `bias` is that of `shared`."""
        batch, heads, queries, width = query.shape
        lengths, gaps = _visible_lengths(visible, batch, key.shape[2])
        # Stored position by position, so that joining the heads afterwards is a view.
        out = query.new_empty(batch, queries, heads, width).transpose(1, 2)
        weights = []
        scratch = query.new_empty(heads * queries * max(lengths))
        for b, length in enumerate(lengths):
            scores = scratch[: heads * queries * length].view(heads, queries, length)
            keys = key[b, :, :length].mT
            if bias is None:
                torch.bmm(query[b], keys, out=scores)
            else:
                torch.baddbmm(bias[0, :, :, :length].expand(heads, -1, -1), query[b], keys, out=scores)
            if gaps[b] and visible is not None:
                scores.masked_fill_(~visible[b, :length], MASKED)
            weights.append(scores.softmax(-1))
            out[b] = torch.bmm(weights[-1], value[b, :, :length])
        ctx.save_for_backward(query, key, value, *weights)
        ctx.lengths, ctx.shared = lengths, shared
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value; the bias's is added to `shared`."""
        query, key, value, *weights = ctx.saved_tensors
        heads, queries = query.shape[1:3]
        grad_query, grad_key, grad_value = (torch.empty_like(x) for x in (query, key, value))
        summed = ctx.shared if ctx.needs_input_grad[3] else None
        scratch = query.new_empty(heads * queries * max(ctx.lengths))
        for b, length in enumerate(ctx.lengths):
            weight, grad = weights[b], grad_out[b]
            # Transposing the narrow operand costs less than transposing the weights.
            grad_value[b, :, :length] = torch.bmm(grad.mT, weight).mT
            grad_weight = scratch[: weight.numel()].view_as(weight)
            torch.bmm(grad, value[b, :, :length].mT, out=grad_weight)
            grad_scores = torch._softmax_backward_data(grad_weight, weight, -1, weight.dtype)
            if summed is not None:
                summed.add(grad_scores, length)
            grad_query[b] = torch.bmm(grad_scores, key[b, :, :length])
            grad_key[b, :, :length] = torch.bmm(query[b].mT, grad_scores).mT
            grad_key[b, :, length:], grad_value[b, :, length:] = 0, 0
        return grad_query, grad_key, grad_value, None, None, None


def _visible_lengths(visible: Tensor | None, batch: int, keys: int) -> tuple[list[int], list[bool]]:
    """For each sample: how many keys to look at, and whether some of them are hidden."""
    if visible is None:
        return [keys] * batch, [False] * batch
    last = torch.where(visible, torch.arange(1, keys + 1), 0).amax(1)
    # A sample without any visible key looks at all of them, as the reference does.
    lengths = torch.where(last > 0, last, keys)
    counts: list[int] = visible.sum(1).tolist()
    return lengths.tolist(), [count != length for count, length in zip(counts, lengths.tolist(), strict=True)]
