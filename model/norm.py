"""T5's layer norm: no mean, no bias; on a CPU a few rows at a time, so that what is in fp32 stays in the cache."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Elements at a time: 512 KiB in fp32.
AT_ONCE = 2**17


class RMSNorm(nn.Module):
    """T5's layer norm: the mean square in fp32 whatever the input's type."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D] in the type of the weight."""
        # A compiler fuses the plain form.
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            normed: Tensor = _RowsNorm.apply(x, self.weight, self.epsilon)
            return normed
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (x * scale).to(self.weight.dtype)


class _RowsNorm(torch.autograd.Function):
    """The plain form above and its gradient, rows by rows; kept are the normalised rows in the weight's type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        rows_nd = x.reshape(-1, x.shape[-1])
        normal_nd = torch.empty_like(rows_nd, dtype=weight.dtype)
        out_nd, scale_n1 = torch.empty_like(normal_nd), rows_nd.new_empty(len(rows_nd), 1, dtype=torch.float32)
        for rows, normal, out, scale in _parts(rows_nd, normal_nd, out_nd, scale_n1):
            exact = rows.float()
            torch.rsqrt(exact.square().mean(-1, keepdim=True).add_(epsilon), out=scale)
            normal.copy_(exact * scale)
            torch.mul(normal, weight, out=out)
        ctx.save_for_backward(normal_nd, scale_n1, weight)
        ctx.dtype = x.dtype
        return out_nd.view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        normal_nd, scale_n1, weight = ctx.saved_tensors
        grad_nd, width = grad.reshape(-1, grad.shape[-1]), grad.shape[-1]
        grad_x_nd = torch.empty_like(grad_nd, dtype=ctx.dtype)
        exact_weight, grad_weight = weight.float(), torch.zeros_like(weight, dtype=torch.float32)
        with torch.autocast("cpu", enabled=False):
            for grads, normal, grad_x, scale in _parts(grad_nd, normal_nd, grad_x_nd, scale_n1):
                exact, exact_normal = grads.float(), normal.float()
                product = exact * exact_normal
                grad_weight += product.sum(0)
                mean = torch.mv(product, exact_weight).div_(width)[:, None]
                grad_x.copy_((exact * exact_weight).addcmul_(exact_normal, mean, value=-1).mul_(scale))
        return grad_x_nd.view(grad.shape), grad_weight.to(weight.dtype), None


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some rows of each [N, ...] at a time."""
    rows = max(1, AT_ONCE // tensors[0].shape[1])
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)
