"""A tensor with several readers: what they add up in one place and what they give autograd count alike, each once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model.shared_gradient import GradientSum, share


class Adding(torch.autograd.Function):
    """Twice the tensor, by a reader that adds its gradient to the sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gradient: GradientSum) -> Tensor:
        ctx.gradient = gradient
        return 2 * values.float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        total = ctx.gradient.total
        ctx.gradient.total = 2 * grad if total is None else total + 2 * grad
        return None, None


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize(("adding", "giving"), [(1, 0), (2, 0), (0, 2), (1, 1), (2, 3)])
def test_each_reader_counts_once_in_every_pass(adding: int, giving: int, dtype: torch.dtype | None) -> None:
    tensor = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    gradient = GradientSum(tensor.shape)
    values = share(tensor, gradient, dtype)
    read = [Adding.apply(values, gradient) for _ in range(adding)] + [values.float() * 3 for _ in range(giving)]
    loss = sum(one.sum() for one in read)
    for _ in range(2):
        (found,) = torch.autograd.grad(loss, tensor, retain_graph=True)
        assert found.dtype == torch.float32
        assert found.tolist() == [2.0 * adding + 3 * giving] * 3
