"""FlexAttention with T5's learned bias: one bias for the whole batch, and blocks of padding are never computed.

For CUDA. On a CPU torch gives its values but no gradients.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


class FlexBias:
    """A stack's bias [1, H, Q, K] or [1, 1, Q, K] and its batch's blocks of visible keys, made once a forward."""

    def __init__(self, values: Tensor, visible: Tensor | None) -> None:
        """`visible` is bool [B, K], or None for all visible."""
        self.values = values
        self.blocks = None if visible is None else _blocks(visible, values.shape[2])


def flex(query: Tensor, key: Tensor, value: Tensor, bias: FlexBias) -> Tensor:
    """`attention()` on this path; shapes as there."""
    table = bias.values[0]
    shared = table.shape[0] == 1

    def biased(score: Tensor, _: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        biased_score: Tensor = score + table[0 if shared else head, q, k]
        return biased_score

    out: Tensor = _kernel(query.device.type)(query, key, value, score_mod=biased, block_mask=bias.blocks, scale=1.0)
    return out


@lru_cache(maxsize=2)
def _kernel(device: str) -> Any:
    """FlexAttention as it runs on a device: a kernel is made for CUDA, plain products elsewhere."""
    return torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention


def _blocks(visible: Tensor, queries: int) -> BlockMask:
    # A sample without any visible key looks at all of them, as the reference does.
    seen = visible | ~visible.any(1, keepdim=True)

    def mask(sample: Tensor, _: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return seen[sample, k]

    return create_block_mask(mask, len(visible), None, queries, visible.shape[1], device=str(visible.device))
