"""T5's relative position bias, looked up once a diagonal."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.compiled import by_operators
from model.masking import MASKED


class PositionBias(nn.Module):
    """T5's relative position bias: one learned value for each head and bucket of distances (T5, section 2.1)."""

    def __init__(self, heads: int, buckets: int, max_distance: int, bidirectional: bool) -> None:
        super().__init__()
        self.buckets, self.max_distance, self.bidirectional = buckets, max_distance, bidirectional
        self.table = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """Bias [1, H, Q, K] for the last `queries` of `keys` positions; a causal stack hides later keys.

        The bias depends on the distance alone: it is looked up once a diagonal and its gradient is summed along
        diagonals, which is deterministic and some hundred times less work than a lookup for each pair.
        """
        device = self.table.weight.device
        # Every distance key - query that occurs, from the last query's first key to the first query's last key.
        distance_l = torch.arange(1 - keys, queries, device=device)
        # fp32 whatever the weights' type: thousands of pairs are summed into each diagonal's gradient, and hundreds of
        # diagonals into a bucket's.
        buckets_bh = self.table(torch.arange(self.buckets, device=device)).float()
        diagonals_hl = F.embedding(self._bucket(distance_l), buckets_bh).T
        if not self.bidirectional:
            diagonals_hl = diagonals_hl.masked_fill(distance_l > 0, MASKED)
        bias_hqk: Tensor = _Rows.apply(diagonals_hl, queries, keys)
        return bias_hqk[None]

    def _bucket(self, distance: Tensor) -> Tensor:
        """T5's bucket of each key - query distance: exact when near, logarithmic up to `max_distance`."""
        buckets = self.buckets
        start = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            start = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        far = exact + (
            torch.log(distance.clamp(min=1).float() / exact) / math.log(self.max_distance / exact) * (buckets - exact)
        ).long().clamp(max=buckets - exact - 1)
        return start + torch.where(distance < exact, distance, far)


class _Rows(torch.autograd.Function):
    """Rows of a table from its diagonals; backwards the sums along its diagonals."""

    @staticmethod
    def forward(ctx: Any, diagonals_hl: Tensor, queries: int, keys: int) -> Tensor:
        """[H, Q, K] from [H, Q + K - 1], the first of them that of the last query and the first key."""
        ctx.queries = queries
        if not torch.compiler.is_compiling():
            return diagonals_hl.unfold(1, keys, 1).flip(1)
        if by_operators(diagonals_hl):
            rows_hqk: Tensor = _rows(diagonals_hl, queries, keys)
            return rows_hqk
        # Windows would be compiled anew for each length.
        query, key = (torch.arange(n, device=diagonals_hl.device) for n in (queries, keys))
        return diagonals_hl[:, queries - 1 - query[:, None] + key]

    @staticmethod
    def backward(ctx: Any, grad_hqk: Tensor) -> tuple[Tensor, None, None]:
        in_turn = grad_hqk.device.type == "cpu" and not torch.compiler.is_compiling()
        way = _summed if by_operators(grad_hqk) else _summed_by_head if in_turn else _sums_of_diagonals
        return way(grad_hqk, ctx.queries), None, None


def _summed_by_head(grad_hqk: Tensor, queries: int) -> Tensor:
    """`_sums_of_diagonals`, head by head: one head's rows stay in a core's cache."""
    return torch.cat([_sums_of_diagonals(part, queries) for part in torch.split(grad_hqk, 1)])


# In a compiled step on a CPU both ways are operators of their own: a compiler goes value by value.


@torch.library.custom_op("docformer::rows_of_diagonals", mutates_args=(), device_types="cpu")
def _rows(diagonals_hl: Tensor, queries: int, keys: int) -> Tensor:
    return diagonals_hl.contiguous().unfold(1, keys, 1).flip(1).contiguous()


@_rows.register_fake
def _(diagonals_hl: Tensor, queries: int, keys: int) -> Tensor:
    return diagonals_hl.new_empty(diagonals_hl.shape[0], queries, keys)


@torch.library.custom_op("docformer::sums_of_diagonals", mutates_args=(), device_types="cpu")
def _summed(grad_hqk: Tensor, queries: int) -> Tensor:
    return _summed_by_head(grad_hqk, queries)


@_summed.register_fake
def _(grad_hqk: Tensor, queries: int) -> Tensor:
    return grad_hqk.new_empty(grad_hqk.shape[0], queries + grad_hqk.shape[2] - 1)


def _sums_of_diagonals(table_hqk: Tensor, queries: int) -> Tensor:
    """[H, Q + K - 1] from [H, Q, K]."""
    moved = F.pad(table_hqk, (queries - 1, 0))
    # Read in rows of one place more, each query's values stand one place further to the left than the last one's, and
    # diagonals in columns.
    length = moved.shape[2]
    return F.pad(moved.flatten(1), (0, queries)).view(-1, queries, length + 1).sum(1)[:, :length]
