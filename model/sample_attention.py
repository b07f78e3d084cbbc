"""Attention one sample at a time: the fast path on CPUs.

One sample's scores fit in a core's cache where a batch's do not, so summing the bias, masking and normalising cost no
trip to memory; keys past a sample's last visible one are never multiplied at all. Samples are read from a padded batch
or from a packed row. Kept for the backward pass are the weights and each sample's queries, keys and values, laid out
head by head as the products want them: read where the projections left them, each product would copy them again. The
position bias is cast once a forward and its gradient summed over samples and layers in one fp32 buffer.
"""

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.masking import masked_score
from model.packing import Packed
from model.shared_gradient import GradientSum, share


class BiasGradient(GradientSum):
    """Of a bias [1, H, Q, K] or [1, 1, Q, K], in fp32."""

    def add(self, sample: Tensor) -> None:
        """Add one sample's gradient [H, queries, keys] of the scores of the first queries over the first keys."""
        total = self.total
        if total is None:
            self.total = total = torch.zeros(self.shape, dtype=torch.float32)
        add_gradient(total, sample)


class SharedBias:
    """A bias in the products' type for all layers of a stack, and the one sum of their gradients.

    Attributes:
        values: [1, H, Q, K] or [1, 1, Q, K] in the products' type.
        gradient: the sum.
    """

    def __init__(self, bias: Tensor, dtype: torch.dtype) -> None:
        self.gradient = BiasGradient(bias.shape)
        self.values = share(bias, self.gradient, dtype)


def add_gradient(summed: Tensor, sample: Tensor) -> None:
    """Add one sample's [H, queries, keys] to the first queries and keys of fp32 [1, H or 1, Q, K]."""
    _, queries, keys = sample.shape
    shared = sample if summed.shape[1] > 1 else sample.sum(0, keepdim=True, dtype=torch.float32)
    # Head by head: torch first makes an fp32 copy of what it adds, and one head's stays in the cache.
    for head, gradient in enumerate(shared):
        summed[0, head, :queries, :keys].add_(gradient)


@dataclass(frozen=True)
class Span:
    """One sample's queries and keys: row of the batch, then start and length of each; `hidden` bool [keys] or None."""

    row: int
    query: int
    queries: int
    key: int
    keys: int
    hidden: Tensor | None

    def of_queries(self, x: Tensor) -> Tensor:
        """[B, H, Q, C] to this sample's [H, queries, C], a view."""
        return x[self.row, :, self.query : self.query + self.queries]

    def of_keys(self, x: Tensor) -> Tensor:
        """[B, H, K, C] to this sample's [H, keys, C], a view."""
        return x[self.row, :, self.key : self.key + self.keys]


def attend(
    span: Span, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One sample's result [H, queries, C], then its queries, keys and values, laid out head by head.

    Args:
        span: where the sample is.
        query: [B, H, Q, C].
        key: [B, H, K, C].
        value: [B, H, K, C].
        bias: [1, H, Q, K] or [1, 1, Q, K] in their type, or None.
        weight: [H, queries, keys] in their type, written: softmax of the scores.
    """
    q, k, v = (span.of_queries(query).contiguous(), span.of_keys(key).contiguous(), span.of_keys(value).contiguous())
    scores = _scratch("scores", weight)
    if bias is None:
        torch.bmm(q, k.mT, out=scores)
    else:
        shown = bias[0, :, : span.queries, : span.keys].expand(len(q), -1, -1)
        torch.baddbmm(shown, q, k.mT, out=scores)
    if span.hidden is not None:
        scores.masked_fill_(span.hidden, masked_score(scores.dtype))
    torch.softmax(scores, -1, out=weight)
    return torch.bmm(weight, v), q, k, v


def attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, weight: Tensor, grads: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Gradient of one sample's scores [H, queries, keys], good until the next call; `grads` of q, k, v are written."""
    torch.bmm(weight.mT, grad, out=grads[2])
    grad_weight, grad_scores = _scratch("scores", weight), _scratch("gradient", weight)
    torch.bmm(grad, v.mT, out=grad_weight)
    torch.ops.aten._softmax_backward_data.out(grad_weight, weight, -1, weight.dtype, grad_input=grad_scores)
    torch.bmm(grad_scores, k, out=grads[0])
    torch.bmm(grad_scores.mT, q, out=grads[1])
    return grad_scores


_kept = threading.local()


def _scratch(name: str, like: Tensor) -> Tensor:
    """Memory of this thread, contiguous, with the shape and type of `like`: what is asked for anew is paged in anew."""
    if type(like) is not Tensor:  # a tensor without memory, of a trace
        return torch.empty_like(like)
    place = f"{name} {like.dtype}"
    kept: Tensor | None = getattr(_kept, place, None)
    if kept is None or kept.numel() < like.numel():
        with torch.inference_mode(False):  # a tensor made in that mode could not be written outside of it
            kept = torch.empty(like.numel(), dtype=like.dtype)
        setattr(_kept, place, kept)
    return kept[: like.numel()].view(like.shape)


class SampleAttention(torch.autograd.Function):
    """Weights and sums of `attention()`, sample by sample; shapes as there."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        bias_gradient: BiasGradient | None,
        visible: Tensor | Packed | None,
    ) -> Tensor:
        """[B, H, Q, C] of queries [B, H, Q, C], keys and values [B, H, K, C]; `bias` is shared with `bias_gradient`."""
        batch, heads, queries, width = query.shape
        spans = spans_of(visible, batch, queries, key.shape[2])
        # Stored position by position, so that joining the heads afterwards is a view.
        out = query.new_empty(batch, queries, heads, width).transpose(1, 2)
        if sum(span.queries for span in spans) < batch * queries:
            out.zero_()
        saved: list[Tensor] = []
        for span in spans:
            weight = query.new_empty(heads, span.queries, span.keys)
            result, *laid_out = attend(span, query, key, value, bias, weight)
            span.of_queries(out).copy_(result)
            saved += (*laid_out, weight)
        ctx.save_for_backward(*saved)
        ctx.spans, ctx.bias_gradient, ctx.shapes = spans, bias_gradient, (query.shape, key.shape)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value; the bias's is added to its sum."""
        grad_query = _for_spans(grad_out, ctx.shapes[0], sum(span.queries for span in ctx.spans))
        grad_key, grad_value = (
            _for_spans(grad_out, ctx.shapes[1], sum(span.keys for span in ctx.spans)) for _ in range(2)
        )
        summed = ctx.bias_gradient if ctx.needs_input_grad[3] else None
        saved = iter(ctx.saved_tensors)
        for span, q, k, v, weight in zip(ctx.spans, saved, saved, saved, saved, strict=False):
            grads = (span.of_queries(grad_query), span.of_keys(grad_key), span.of_keys(grad_value))
            grad_scores = attend_backward(span.of_queries(grad_out).contiguous(), q, k, v, weight, grads)
            if summed is not None:
                summed.add(grad_scores)
        return grad_query, grad_key, grad_value, None, None, None


def _for_spans(like: Tensor, shape: torch.Size, covered: int) -> Tensor:
    """A tensor of `shape` [B, H, positions, C] to be written sample by sample; 0 where samples do not cover it."""
    whole = covered == shape[0] * shape[2]
    return like.new_empty(shape) if whole else like.new_zeros(shape)


def spans_of(visible: Tensor | Packed | None, batch: int, queries: int, keys: int) -> list[Span]:
    """Where each sample's queries and keys are, and which of its keys are hidden."""
    if isinstance(visible, Packed):
        return [Span(0, *span, None) for span in visible.spans()]
    if visible is None:
        return [Span(row, 0, queries, 0, keys, None) for row in range(batch)]
    last = torch.where(visible, torch.arange(1, keys + 1), 0).amax(1)
    # A sample without any visible key looks at all of them, as the reference does.
    lengths: list[int] = torch.where(last > 0, last, keys).tolist()
    counts: list[int] = visible.sum(1).tolist()
    return [
        Span(row, 0, queries, 0, length, None if count == length else ~visible[row, :length])
        for row, (length, count) in enumerate(zip(lengths, counts, strict=True))
    ]
