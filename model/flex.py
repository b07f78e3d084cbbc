"""FlexAttention with T5's learned bias: one bias for the whole batch, and blocks of padding or of other sequences are
never computed.

For CUDA. On a CPU torch gives its values but no gradients.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from model.packing import Packed


class FlexBias:
    """A stack's bias [1, H, Q, K] or [1, 1, Q, K], if it has one, and its batch's blocks of visible keys, made once a
    forward.
    """

    def __init__(self, values: Tensor | None, visible: Tensor | Packed | None) -> None:
        """`visible` is bool [B, K], None for all visible, or what the positions of a packed row may see."""
        self.values = values
        self.packed = visible if isinstance(visible, Packed) else None
        self.blocks: BlockMask | None = None
        if isinstance(visible, Packed):
            self.blocks = visible.kept("blocks", _packed_blocks)
        elif visible is not None and values is not None:
            self.blocks = _blocks(visible, values.shape[2])


def flex(query: Tensor, key: Tensor, value: Tensor, bias: FlexBias) -> Tensor:
    """`attention()` on this path; shapes as there."""
    out: Tensor = _kernel(query.device.type)(
        query, key, value, score_mod=_biased(bias), block_mask=bias.blocks, scale=1.0
    )
    return out


def _biased(bias: FlexBias) -> Any:
    """What FlexAttention does to each score: add the bias of its head and distance."""
    if bias.values is None:
        return None
    table = bias.values[0]
    shared = table.shape[0] == 1
    if bias.packed is None:

        def padded(score: Tensor, _: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            biased: Tensor = score + table[0 if shared else head, q, k]
            return biased

        return padded
    query_place, key_place = bias.packed.queries.place, bias.packed.keys.place

    def packed(score: Tensor, _: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        biased: Tensor = score + table[0 if shared else head, query_place[q], key_place[k]]
        return biased

    return packed


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


def _packed_blocks(packed: Packed) -> BlockMask:
    query_sequence, key_sequence = packed.queries.sequence, packed.keys.sequence

    def mask(_: Tensor, __: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return query_sequence[q] == key_sequence[k]

    device = str(query_sequence.device)
    return create_block_mask(mask, None, None, len(query_sequence), len(key_sequence), device=device)
