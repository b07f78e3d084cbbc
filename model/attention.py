"""One `attention()` with T5's learned bias: a plain reference, and faster paths that must agree with it.

Shapes: B batch, H heads, Q query positions, K key positions, C head width.

Precision: scores are summed with the bias and normalised in fp32 whatever the inputs' type (the fused paths do so
inside their kernels); the result has the type of the values. T5 does not scale scores by C ** -0.5.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.flex import FlexBias, flex
from model.masking import MASKED, masked_score
from model.packing import Packed
from model.sample_attention import SampleAttention, SharedBias
from model.sample_operator import sample_attention

# A stack's position bias, in the form that its attention path takes.
Bias = Tensor | SharedBias | FlexBias

# Fewer scores than this a head, and the plain products are faster than going sample by sample (generation).
SMALL = 32 * 32


def attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Bias | None, visible: Tensor | Packed | None, path: str
) -> Tensor:
    """Attend, with a bias shared by the batch, to the keys that are not padding or to those of the own sequence.

    Args:
        query: [B, H, Q, C].
        key: [B, H, K, C].
        value: [B, H, K, C].
        bias: [1, H, Q, K] or [1, 1, Q, K], added to the scores (T5's position bias, causal mask included), or None;
            a stack gives all its layers what `prepare_bias` made of it. In a packed row Q and K are those of its
            longest sequences.
        visible: bool [B, K], False for keys no query may see (padding), None for all visible, or `Packed` where B is
            1 and sequences stand side by side.
        path: "reference", "sample" (sample by sample, for CPUs), "sdpa" or "flex" (for CUDA).

    Returns:
        [B, H, Q, C] in the type of `value`.
    """
    if path == "sample" and query.shape[2] * key.shape[2] > SMALL:
        if torch.compiler.is_compiling() and not isinstance(visible, Packed):
            compiled: Tensor = sample_attention(*(x.contiguous() for x in (query, key, value)), bias, visible)[0]
            return compiled
        shared = SharedBias(bias, query.dtype) if isinstance(bias, Tensor) else bias
        values, gradient = (shared.values, shared.gradient) if isinstance(shared, SharedBias) else (None, None)
        out: Tensor = SampleAttention.apply(query, key, value, values, gradient, visible)
        return out
    if path == "flex" and (bias is not None or isinstance(visible, Packed)):
        table = None if bias is None else _values(bias)
        return flex(query, key, value, bias if isinstance(bias, FlexBias) else FlexBias(table, visible))
    values = None if bias is None else _values(bias)
    if values is not None and isinstance(visible, Packed):
        values = values[:, :, visible.queries.place][..., visible.keys.place]
    if path in ("sdpa", "flex"):
        return _sdpa(query, key, value, values, visible)
    return _reference(query, key, value, values, visible)


def prepare_bias(bias: Tensor, like: Tensor, visible: Tensor | Packed | None, path: str) -> Bias:
    """The bias as the layers of a stack whose positions are `like` share it: cast once a forward, not once a layer."""
    kind = like.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype
    if path == "sample" and not torch.compiler.is_compiling():
        return SharedBias(bias, dtype)
    if path == "flex":
        return FlexBias(bias.contiguous(), visible)
    return bias if path == "reference" else bias.to(dtype)


def _values(bias: Bias) -> Tensor | None:
    return bias if isinstance(bias, Tensor) else bias.values


def _reference(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, visible: Tensor | Packed | None
) -> Tensor:
    scores_bhqk = torch.matmul(query, key.transpose(-1, -2)).float()
    if bias is not None:
        scores_bhqk = scores_bhqk + bias
    if isinstance(visible, Packed):
        scores_bhqk = scores_bhqk.masked_fill(~visible.visible, MASKED)
    elif visible is not None:
        scores_bhqk = scores_bhqk.masked_fill(~visible[:, None, None, :], MASKED)
    return torch.matmul(scores_bhqk.softmax(-1).to(value.dtype), value)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, visible: Tensor | Packed | None) -> Tensor:
    mask, unseen = None if bias is None else bias.to(query.dtype), masked_score(query.dtype)
    if isinstance(visible, Packed):
        hidden = torch.zeros_like(visible.visible, dtype=query.dtype).masked_fill(~visible.visible, unseen)
        mask = hidden if mask is None else mask + hidden
    elif visible is not None:
        hidden = torch.zeros_like(visible, dtype=query.dtype).masked_fill(~visible, unseen)
        if mask is None:
            mask = hidden[:, None, None, :]
        else:
            query, key = _with_hidden_keys(query, key, hidden)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)


def _with_hidden_keys(query: Tensor, key: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys whose scores hold `hidden` [B, K] already, one more product of each pair.

    Added to the bias, which all samples share, it would make one of [B, H, Q, K]. Eight columns, of which seven are
    zero, keep the kernels' alignment.
    """
    heads, queries, keys = query.shape[1], query.shape[2], key.shape[2]
    ones = F.pad(query.new_ones(1, 1, queries, 1), (0, 7)).expand(query.shape[0], heads, -1, -1)
    column = F.pad(hidden[:, None, :, None], (0, 7)).expand(-1, heads, keys, -1)
    return torch.cat([query, ones], -1), torch.cat([key, column], -1)


def choose_path(wanted: str, device: torch.device, packing: str = "auto") -> str:
    """The attention path for `device`: the one `wanted`, or for "auto" the one measured fastest there.

    On a CPU SDPA with a learned bias falls back to plain products over the whole batch; on CUDA it is fused, but has
    no way to leave out what a packed row's sequences may not see of each other.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "sample"
    return "flex" if packing == "always" and device.type == "cuda" else "sdpa"
