"""One tensor with several readers in a forward, whose gradients are summed in one place.

Autograd lets every reader make a whole gradient and adds them up afterwards, each time into memory taken anew: for the
token embedding 65 MB three times at `base`, for a position bias as much again in every layer.
"""

from typing import Any

import torch
from torch import Tensor


class SharedGradient:
    """A tensor as its readers in one forward share it.

    Attributes:
        values: the tensor to read, cast to `dtype` where that is given. A reader that adds its own gradient to `summed`
            gives autograd None for it; another may give autograd its gradient as always.
        summed: the readers' sum until autograd comes here, or None.
    """

    def __init__(self, tensor: Tensor, dtype: torch.dtype | None = None) -> None:
        self.summed: Tensor | None = None
        self.values: Tensor = _Share.apply(tensor, dtype, self)


class _Share(torch.autograd.Function):
    """The tensor; its gradient is what the readers have summed by the time autograd comes here."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, dtype: torch.dtype | None, shared: SharedGradient) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.shared, ctx.dtype = shared, tensor.dtype
        if dtype is None:
            return tensor.view_as(tensor)
        return tensor.to(dtype, memory_format=torch.contiguous_format, copy=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        summed, ctx.shared.summed = ctx.shared.summed, None
        if summed is not None and grad is not None:
            summed = summed + grad
        return summed if grad is None or summed is not None else grad.to(ctx.dtype), None, None
