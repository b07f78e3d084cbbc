"""ReLU, whose gradient a compiler leaves to torch's own kernel on a CPU.

From the plain form a compiler keeps a table of true and false for the backward pass, and reads and writes it value by
value: 13 ms a layer of `small` at 1,280 positions, where the products of that layer take 39.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.compiled import by_operators


def rectified(x: Tensor, in_place: bool) -> Tensor:
    """ReLU of `x` [...]; `in_place` allows writing it there."""
    if by_operators(x):
        out: Tensor = _Rectified.apply(x)
        return out
    return F.relu(x, inplace=in_place)


@torch.library.custom_op("docformer::rectified_backward", mutates_args=(), device_types="cpu")
def rectified_backward(grad: Tensor, out: Tensor) -> Tensor:
    """Gradient of what became `out`."""
    found: Tensor = torch.ops.aten.threshold_backward(grad, out, 0)
    return found


@rectified_backward.register_fake
def _(grad: Tensor, out: Tensor) -> Tensor:
    return torch.empty_like(grad)


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = F.relu(x)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        found: Tensor = rectified_backward(grad.contiguous(), ctx.saved_tensors[0])
        return found
