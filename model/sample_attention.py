"""Attention one sample at a time: the fast path on CPUs.

One sample's scores fit in a core's cache where a batch's do not, so summing the bias, masking and normalising cost no
trip to memory; keys past a sample's last visible one are never multiplied at all, and the only thing kept for the
backward pass is the weights. Queries, keys and values are read where the projections left them, without a copy.
"""

from typing import Any

import torch
from torch import Tensor

from model.masking import MASKED


class SampleAttention(torch.autograd.Function):
    """Weights and sums of `attention()`, sample by sample; shapes as there."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, visible: Tensor | None
    ) -> Tensor:
        """[B, H, Q, C] of queries [B, H, Q, C], keys and values [B, H, K, C]."""
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
        ctx.lengths, ctx.bias_shape = lengths, None if bias is None else bias.shape
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value and bias."""
        query, key, value, *weights = ctx.saved_tensors
        heads, queries = query.shape[1:3]
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        grad_bias = None
        if ctx.bias_shape is not None and ctx.needs_input_grad[3]:
            grad_bias = torch.zeros(ctx.bias_shape, dtype=torch.float32)
        scratch = query.new_empty(heads * queries * max(ctx.lengths))
        for b, length in enumerate(ctx.lengths):
            weight, grad = weights[b], grad_out[b]
            grad_value[b, :, :length] = torch.bmm(weight.mT, grad)
            grad_weight = scratch[: weight.numel()].view_as(weight)
            torch.bmm(grad, value[b, :, :length].mT, out=grad_weight)
            grad_scores = torch._softmax_backward_data(grad_weight, weight, -1, weight.dtype)
            if grad_bias is not None:
                shared = grad_scores.sum(0, keepdim=True) if grad_bias.shape[1] == 1 else grad_scores
                grad_bias[0, :, :, :length] += shared
            grad_query[b] = torch.bmm(grad_scores, key[b, :, :length])
            grad_key[b, :, :length] = torch.bmm(grad_scores.mT, query[b])
        return grad_query, grad_key, grad_value, grad_bias, None


def _visible_lengths(visible: Tensor | None, batch: int, keys: int) -> tuple[list[int], list[bool]]:
    """For each sample: how many keys to look at, and whether some of them are hidden."""
    if visible is None:
        return [keys] * batch, [False] * batch
    last = torch.where(visible, torch.arange(1, keys + 1), 0).amax(1)
    # A sample without any visible key looks at all of them, as the reference does.
    lengths = torch.where(last > 0, last, keys)
    counts: list[int] = visible.sum(1).tolist()
    return lengths.tolist(), [count != length for count, length in zip(counts, lengths.tolist(), strict=True)]
