"""Attention one sample at a time inside a compiled step: an operator that the compiler leaves as it is.

What a compiler makes of the plain form on a CPU goes over a batch's scores in memory; here they stay in the cache, as
in `model.sample_attention`. Lengths depend on data only inside the operator.
"""

from typing import Any

import torch
from torch import Tensor

from model.sample_attention import add_gradient, attend, attend_backward, spans_of


@torch.library.custom_op("docformer::sample_attention", mutates_args=(), device_types="cpu")
def sample_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, visible: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`attention()` of queries [B, H, Q, C], keys and values [B, H, K, C]; then the weights [B, H * Q * K].

    Args:
        query: [B, H, Q, C].
        key: [B, H, K, C].
        value: [B, H, K, C].
        bias: [1, H, Q, K] or [1, 1, Q, K] in their type, or None.
        visible: bool [B, K] or None.

    Of each sample's weights the first H * Q * its keys are written.
    """
    batch, heads, queries, _ = query.shape
    out, weights = torch.empty_like(query), query.new_empty(batch, heads * queries * key.shape[2])
    for span in spans_of(visible, batch, queries, key.shape[2]):
        out[span.row] = attend(span, query, key, value, bias, _weight(weights, span.row, heads, queries, span.keys))[0]
    return out, weights


@torch.library.custom_op("docformer::sample_attention_backward", mutates_args=(), device_types="cpu")
def sample_attention_backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, visible: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, and fp32 [1, `heads`, Q, K] of the bias; 0 `heads` where there is none."""
    batch, all_heads, queries, _ = query.shape
    keys = key.shape[2]
    spans = spans_of(visible, batch, queries, keys)
    # Keys that a sample does not see have a gradient of 0.
    make = torch.empty_like if all(span.keys == keys for span in spans) else torch.zeros_like
    grads = [torch.empty_like(query), make(key), make(value)]
    # A whole first sample is written, others are added: tables of zeros are as large as all weights of a sample twice.
    first = spans[0].keys == keys and heads > 1
    grad_bias = (torch.empty if first else torch.zeros)(1, heads, queries, keys, dtype=torch.float32)
    for span in spans:
        inputs = (span.of_queries(query), span.of_keys(key).contiguous(), span.of_keys(value).contiguous())
        outputs = (span.of_queries(grads[0]), span.of_keys(grads[1]), span.of_keys(grads[2]))
        weight = _weight(weights, span.row, all_heads, queries, span.keys)
        grad_scores = attend_backward(span.of_queries(grad_out).contiguous(), *inputs, weight, outputs)
        if first:
            grad_bias[0].copy_(grad_scores)
            first = False
        elif heads:
            add_gradient(grad_bias, grad_scores)
    return grads[0], grads[1], grads[2], grad_bias


@sample_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, visible: Tensor | None) -> tuple[Tensor, Tensor]:
    batch, heads, queries, _ = query.shape
    return torch.empty_like(query), query.new_empty(batch, heads * queries * key.shape[2])


@sample_attention_backward.register_fake
def _(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, visible: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_bias = query.new_empty(1, heads, query.shape[2], key.shape[2], dtype=torch.float32)
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), grad_bias


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, bias, visible = inputs
    ctx.save_for_backward(query, key, value, output[1], visible)
    ctx.heads, ctx.dtype = (bias.shape[1], bias.dtype) if ctx.needs_input_grad[3] else (0, None)


def _backward(ctx: Any, grad_out: Tensor, grad_weights: Tensor) -> tuple[Tensor | None, ...]:
    query, key, value, weights, visible = ctx.saved_tensors
    *grads, grad_bias = sample_attention_backward(grad_out, query, key, value, weights, visible, ctx.heads)
    return (*grads, grad_bias if ctx.heads else None, None)


sample_attention.register_autograd(_backward, setup_context=_setup)


def _weight(weights: Tensor, row: int, heads: int, queries: int, keys: int) -> Tensor:
    """One sample's [H, Q, keys], side by side where the products want them."""
    return weights[row, : heads * queries * keys].view(heads, queries, keys)
