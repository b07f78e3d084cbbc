"""Every attention path agrees with the plain reference, in values and in gradients."""

import pytest
import torch
from torch import Tensor

from model.attention import PositionBias, attention
from model.masking import MASKED

PATHS = ["sdpa", "sample"]


def case(queries: int, keys: int, padded: bool, biased: bool) -> tuple[list[Tensor], Tensor | None]:
    generator = torch.Generator().manual_seed(queries * 100 + keys)
    batch, heads, width = 3, 4, 16
    inputs = [torch.randn(batch, heads, n, width, generator=generator) / 2 for n in (queries, keys, keys)]
    if biased:
        bias = torch.randn(1, heads, queries, keys, generator=generator)
        if queries == keys:
            bias = bias.masked_fill(torch.ones(queries, keys, dtype=torch.bool).triu(1), MASKED)
        inputs.append(bias)
    visible = None
    if padded:
        lengths = torch.tensor([keys, keys // 2, 1])
        visible = torch.arange(keys)[None] < lengths[:, None]
    return [x.requires_grad_() for x in inputs], visible


def run(path: str, inputs: list[Tensor], visible: Tensor | None) -> list[Tensor]:
    for x in inputs:
        x.grad = None
    query, key, value = inputs[:3]
    out = attention(query, key, value, inputs[3] if len(inputs) > 3 else None, visible, path)
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    (out * weight).sum().backward()
    return [out.detach(), *(x.grad.clone() for x in inputs if x.grad is not None)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(40, 40), (31, 70), (1, 9)])
def test_path_agrees_with_reference(path: str, queries: int, keys: int, padded: bool, biased: bool) -> None:
    inputs, visible = case(queries, keys, padded, biased)
    wanted, got = run("reference", inputs, visible), run(path, inputs, visible)
    assert len(wanted) == len(got) == (5 if biased else 4)
    for theirs, ours in zip(wanted, got, strict=True):
        assert torch.allclose(theirs, ours, atol=2e-5)


def test_reference_is_softmax_of_scores_plus_bias() -> None:
    inputs, visible = case(5, 5, padded=True, biased=True)
    query, key, value, bias = (x.detach().double() for x in inputs)
    out = attention(*(x.detach() for x in inputs), visible, "reference")
    for b in range(3):
        for h in range(4):
            for q in range(5):
                seen = [k for k in range(q + 1) if visible is not None and visible[b, k]]
                weights = torch.stack([(query[b, h, q] @ key[b, h, k] + bias[0, h, q, k]).exp() for k in seen])
                expected = (weights[:, None] * torch.stack([value[b, h, k] for k in seen])).sum(0) / weights.sum()
                assert torch.allclose(out[b, h, q].double(), expected, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_position_bias_of_the_last_queries_is_the_whole_tables_tail(bidirectional: bool) -> None:
    bias = PositionBias(heads=2, buckets=32, max_distance=128, bidirectional=bidirectional)
    whole = bias(300, 300)
    assert whole.shape == (1, 2, 300, 300)
    assert torch.equal(bias(1, 300), whole[:, :, -1:])
    assert torch.equal(bias(40, 300), whole[:, :, -40:])
    assert torch.equal(whole[..., 10, 3], whole[..., 250, 243])
    if not bidirectional:
        assert (whole[0, 0].triu(1)[torch.ones(300, 300, dtype=torch.bool).triu(1)] == MASKED).all()


def test_position_bias_gradient_is_summed_over_all_pairs() -> None:
    bias = PositionBias(heads=2, buckets=8, max_distance=16, bidirectional=True)
    weight = torch.randn(1, 2, 20, 20)
    (bias(20, 20) * weight).sum().backward()
    expected = torch.zeros(8, 2)
    for query in range(20):
        for key in range(20):
            bucket = int(bias._bucket(torch.tensor([key - query])))
            expected[bucket] += weight[0, :, query, key]
    assert torch.allclose(bias.table.weight.grad, expected, atol=1e-4)
