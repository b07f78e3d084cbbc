"""The token embedding, read up to three times a step: by the encoder, the decoder and, where tied, the output layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.shared_gradient import GradientSum, share


class TableGradient(GradientSum):
    """Of a table [V, D]."""

    def add_product(self, left: Tensor, right: Tensor) -> None:
        """Add the product of [V, N] and [N, D]."""
        total = self.total
        self.total = left @ right if total is None else total.addmm_(left, right)

    def add_rows(self, ids: Tensor, grad: Tensor) -> None:
        """Add to each token's row its gradients [..., D], at ids int64 [...]."""
        rows, total = torch.ops.aten.embedding_dense_backward, self.total
        if total is None:
            self.total = rows(grad, ids, self.shape[0], -1, False)
            return
        # Each token that occurs has a place among as many as there are ids; what is left of them adds 0 to row 0.
        ordered, order = ids.flatten().sort()
        rank = F.pad(ordered[1:] != ordered[:-1], (1, 0)).cumsum(0)
        place, tokens = torch.empty_like(order).scatter_(0, order, rank), torch.zeros_like(order)
        tokens.scatter_(0, rank, ordered)
        # Summed in fp32: some tokens occur often.
        summed = rows(grad.flatten(0, -2).float(), place, len(order), -1, False)
        total.index_add_(0, tokens, summed.to(grad.dtype))


class TokenTable:
    """A token embedding's weight [V, D] with one gradient for all that read it in a forward."""

    def __init__(self, weight: Tensor) -> None:
        self.gradient = TableGradient(weight.shape)
        self.values = share(weight, self.gradient)

    @classmethod
    def of(cls, tokens: nn.Module) -> "TokenTable | None":
        """The table of `tokens` for a training step on a CPU; None where each reader goes to the module itself."""
        # A module whose forward somebody replaced, or whose padding gets no gradient, is read as it is.
        if type(tokens) is not TokenEmbedding or "forward" in vars(tokens) or tokens.padding_idx is not None:
            return None
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return None
        weight = tokens.weight
        if weight.device.type != "cpu" or not weight.requires_grad:
            return None
        # ZeRO's stage 3 gathers a weight that is asked for; one that it did not gather is empty.
        return cls(weight) if weight.shape == (tokens.num_embeddings, tokens.embedding_dim) else None


class TokenEmbedding(nn.Embedding):
    """`nn.Embedding`, which reads a `TokenTable` of its weight where there is one."""

    def forward(self, ids: Tensor, table: TokenTable | None = None) -> Tensor:
        """int64 [...] to [..., D]."""
        if table is None:
            return super().forward(ids)
        rows: Tensor = _Lookup.apply(table.values, ids, table.gradient)
        return rows


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
