"""The norm that CPUs compute rows by rows is the plain one, in values and gradients."""

import pytest
import torch
from torch import Tensor

from model.norm import RMSNorm


def plain(x: Tensor, weight: Tensor) -> Tensor:
    scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)
    return weight * (x * scale).to(weight.dtype)


@pytest.mark.parametrize("rows", [(7,), (2, 700), (3, 1, 5)])
@pytest.mark.parametrize(
    ("inputs", "weights"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.float32, torch.bfloat16)],
)
def test_it_is_the_plain_form(rows: tuple[int, ...], inputs: torch.dtype, weights: torch.dtype) -> None:
    norm = RMSNorm(200, 1e-6).to(weights)
    with torch.no_grad():
        norm.weight += 0.3 * torch.randn(200)
    x = torch.randn(*rows, 200).to(inputs).requires_grad_()
    grad = torch.randn(*rows, 200).to(weights)
    found = []
    for out in (plain(x, norm.weight), norm(x)):
        found.append((out, *torch.autograd.grad(out, (x, norm.weight), grad)))
    for wanted, got in zip(*found, strict=True):
        assert got.dtype == wanted.dtype
        # bf16 has 8 bits; the plain form rounds more often on the way back.
        tolerance = 1e-5 if weights == torch.float32 else 0.03
        assert torch.allclose(got.float(), wanted.float(), rtol=tolerance, atol=tolerance * wanted.abs().mean().item())
    assert torch.equal(found[0][0], found[1][0])
