"""The token embedding, read up to three times a step: by the encoder, the decoder and, where tied, the output layer.

On a CPU its readers share one gradient: `TokenTable` sums it, and in a compiled step, which knows no such sum,
`ChainedTable` hands it from the last reader to the first.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.compiled import by_operators
from model.shared_gradient import GradientSum, share


class TableGradient(GradientSum):
    """Of a table [V, D]."""

    def add_product(self, left: Tensor, right: Tensor) -> None:
        """Add the product of [V, N] and [N, D]."""
        total = self.total
        self.total = left @ right if total is None else total.addmm_(left, right)

    def add_rows(self, ids: Tensor, grad: Tensor) -> None:
        """Add to each token's row its gradients [..., D], at ids int64 [...]."""
        if self.total is None:
            self.total = torch.ops.aten.embedding_dense_backward(grad, ids, self.shape[0], -1, False)
        else:
            add_rows(self.total, ids, grad)


def add_rows(total: Tensor, ids: Tensor, grad: Tensor) -> None:
    """Add to each token's row of `total` [V, D] its gradients [..., D], at ids int64 [...]."""
    # Each token that occurs has a place among as many as there are ids; what is left of them adds 0 to row 0.
    ordered, order = ids.flatten().sort()
    rank = F.pad(ordered[1:] != ordered[:-1], (1, 0)).cumsum(0)
    place, tokens = torch.empty_like(order).scatter_(0, order, rank), torch.zeros_like(order)
    tokens.scatter_(0, rank, ordered)
    # Summed in fp32: some tokens occur often.
    rows = torch.ops.aten.embedding_dense_backward(grad.flatten(0, -2).float(), place, len(order), -1, False)
    total.index_add_(0, tokens, rows.to(grad.dtype))


class TokenTable:
    """A token embedding's weight [V, D] with one gradient for all that read it in a forward."""

    def __init__(self, weight: Tensor) -> None:
        self.gradient = TableGradient(weight.shape)
        self.values = share(weight, self.gradient)

    @classmethod
    def of(cls, tokens: nn.Module) -> "TokenTable | ChainedTable | None":
        """The table of `tokens` for a training step on a CPU; None where each reader goes to the module itself."""
        # A module whose forward somebody replaced, or whose padding gets no gradient, is read as it is.
        if type(tokens) is not TokenEmbedding or "forward" in vars(tokens) or tokens.padding_idx is not None:
            return None
        if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return None
        weight = tokens.weight
        if weight.device.type != "cpu" or not weight.requires_grad:
            return None
        if torch.compiler.is_compiling():
            return ChainedTable(weight) if by_operators(weight) else None
        # ZeRO's stage 3 gathers a weight that is asked for; one that it did not gather is empty.
        return cls(weight) if weight.shape == (tokens.num_embeddings, tokens.embedding_dim) else None

    def rows(self, ids: Tensor) -> Tensor:
        """int64 [...] to [..., D]."""
        rows: Tensor = _Lookup.apply(self.values, ids, self.gradient)
        return rows


class ChainedTable:
    """The same in a compiled step: what is looked up next, or multiplied last, reads what the reader before it left."""

    gradient = None

    def __init__(self, weight: Tensor) -> None:
        self.values = weight

    def rows(self, ids: Tensor) -> Tensor:
        """int64 [...] to [..., D]."""
        rows: Tensor
        rows, self.values = _chained(self.values, ids)
        return rows


class TokenEmbedding(nn.Embedding):
    """`nn.Embedding`, which reads a `TokenTable` of its weight where there is one."""

    def forward(self, ids: Tensor, table: TokenTable | ChainedTable | None = None) -> Tensor:
        """int64 [...] to [..., D]."""
        return super().forward(ids) if table is None else table.rows(ids)


class _Lookup(torch.autograd.Function):
    """Rows of a table; their gradient is added to the table's sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ids: Tensor, gradient: TableGradient) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.gradient = gradient
        return F.embedding(ids, values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None]:
        ctx.gradient.add_rows(ctx.saved_tensors[0], grad)
        return None, None, None


class _ChainedLookup(torch.autograd.Function):
    """Rows of a table, and the table for the next reader; the rows' gradient is added to the next readers' in place."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(ids)
        return F.embedding(ids, values), values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, total: Tensor) -> tuple[Tensor, None]:
        _add_rows(total, ctx.saved_tensors[0], grad)
        return total, None


@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]  # what it adds in place is the next readers' alone
def _chained(values: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = _ChainedLookup.apply(values, ids)
    return found


# An operator, which a compiler leaves as it is: its own form makes an fp32 table of all tokens for each reader.
@torch.library.custom_op("docformer::add_rows", mutates_args=("total",), device_types="cpu")
def _add_rows(total: Tensor, ids: Tensor, grad: Tensor) -> None:
    add_rows(total, ids, grad)


@_add_rows.register_fake
def _(total: Tensor, ids: Tensor, grad: Tensor) -> None:
    return None
