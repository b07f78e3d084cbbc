"""Every attention path agrees with the plain reference, in values and in gradients."""

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from model.attention import attention, prepare_bias
from model.masking import MASKED
from model.position_bias import PositionBias

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


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


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


@pytest.mark.parametrize("path", PATHS)
def test_a_bias_that_all_heads_share_agrees_with_reference(path: str) -> None:
    inputs, visible = case(40, 40, padded=True, biased=True)
    inputs[3] = inputs[3].detach()[:, :1].clone().requires_grad_()
    for theirs, ours in zip(run("reference", inputs, visible), run(path, inputs, visible), strict=True):
        assert torch.allclose(theirs, ours, atol=5e-5)


@pytest.mark.parametrize("path", PATHS)
def test_a_sample_of_nothing_but_padding_sees_all_of_it_as_in_the_reference(path: str) -> None:
    inputs, _ = case(31, 70, padded=False, biased=False)
    visible = torch.tensor([70, 0, 5])[:, None] > torch.arange(70)
    wanted, got = (attention(*inputs, None, visible, one) for one in ("reference", path))
    assert torch.allclose(wanted, got, atol=2e-5)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(40, 40), (31, 70)])
def test_flex_gives_the_references_values(queries: int, keys: int, padded: bool) -> None:
    """On a CPU torch has no gradients for it."""
    inputs, visible = case(queries, keys, padded, biased=True)
    query, key, value, bias = (x.detach() for x in inputs)
    wanted = attention(query, key, value, bias, visible, "reference")
    assert torch.allclose(attention(query, key, value, bias, visible, "flex"), wanted, atol=2e-5)


@on_cuda
@pytest.mark.parametrize("path", ["sdpa", "flex"])
@pytest.mark.parametrize("padded", [True, False])
def test_path_agrees_with_reference_on_cuda(path: str, padded: bool) -> None:
    inputs, visible = case(256, 256, padded, biased=True)
    inputs = [x.detach().cuda().requires_grad_() for x in inputs]
    visible = None if visible is None else visible.cuda()
    wanted, got = run("reference", inputs, visible), run(path, inputs, visible)
    for theirs, ours in zip(wanted, got, strict=True):
        assert torch.allclose(theirs, ours, atol=5e-3)


@pytest.mark.parametrize("path", ["sample", "sdpa"])
def test_layers_that_share_a_bias_sum_its_gradient(path: str) -> None:
    """As in a stack: the bias is prepared once, three layers use it, one of them recomputed in the backward pass."""
    inputs, visible = case(40, 40, padded=True, biased=True)
    gradients = []
    for kind in ("reference", path):
        for x in inputs:
            x.grad = None
        query, key, value, bias = inputs
        shared = prepare_bias(bias, query, visible, kind)
        for layer in range(3):
            if layer == 1:
                query = checkpoint(attention, query, key, value, shared, visible, kind, use_reentrant=False)
            else:
                query = attention(query, key, value, shared, visible, kind)
        query.square().sum().backward()
        gradients.append([x.grad.clone() for x in inputs if x.grad is not None])
    assert len(gradients[1]) == 4
    for theirs, ours in zip(*gradients, strict=True):
        assert torch.allclose(theirs, ours, atol=2e-5)


@pytest.mark.parametrize("path", PATHS)
def test_path_agrees_with_reference_in_bf16(path: str) -> None:
    inputs, visible = case(40, 40, padded=True, biased=True)
    exact = run("reference", inputs, visible)
    halves = [x.detach().bfloat16().requires_grad_() for x in inputs[:3]] + inputs[3:]
    theirs, ours = run("reference", halves, visible), run(path, halves, visible)
    for wanted, reference, got in zip(exact, theirs, ours, strict=True):
        rounding = (reference.float() - wanted).abs().max()
        assert (got.float() - wanted).abs().max() < 2 * rounding + 1e-3


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


def test_position_bias_of_bf16_weights_and_its_gradient_are_summed_in_fp32() -> None:
    """Far keys share a bucket: hundreds of diagonals, each of hundreds of pairs."""
    bias = PositionBias(heads=1, buckets=2, max_distance=4, bidirectional=False).bfloat16()
    found = bias(700, 700)
    assert found.dtype == torch.float32
    found.tril().sum().backward()
    exact = torch.tensor([700.0, 700 * 699 / 2])
    assert torch.equal(bias.table.weight.grad.flatten(), exact.bfloat16())


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(40, 40), (31, 70)])
def test_compiled_attention_by_sample_agrees_with_reference(
    queries: int, keys: int, padded: bool, biased: bool
) -> None:
    inputs, visible = case(queries, keys, padded, biased)
    wanted = run("reference", inputs, visible)
    for x in inputs:
        x.grad = None
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    out = compiled(*inputs[:3], inputs[3] if biased else None, visible, "sample")
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    for theirs, ours in zip(wanted, [out, *(x.grad for x in inputs)], strict=True):
        assert torch.allclose(theirs, ours, atol=2e-5)


def test_position_bias_is_not_compiled_anew_for_each_length() -> None:
    bias = PositionBias(heads=2, buckets=8, max_distance=16, bidirectional=True)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(bias, backend=counter, dynamic=True)
    for length in (20, 33, 47, 64, 81):
        bias.zero_grad()
        wanted = torch.autograd.grad(bias(length, length).sin().sum(), bias.table.weight)[0]
        got = compiled(length, length)
        got.sin().sum().backward()
        assert torch.equal(got, bias(length, length))
        assert torch.allclose(bias.table.weight.grad, wanted, atol=1e-4)
    assert counter.frame_count <= 2


def test_a_trace_without_memory_leaves_none_behind() -> None:
    inputs, visible = case(40, 40, padded=False, biased=True)
    wanted = run("sample", inputs, visible)
    with FakeTensorMode():
        run("sample", [torch.empty(x.shape).requires_grad_() for x in inputs], None)
    for before, after in zip(wanted, run("sample", inputs, visible), strict=True):
        assert torch.equal(before, after)


def test_the_fused_path_is_exported_for_any_number_of_samples() -> None:
    class Attention(torch.nn.Module):
        def forward(self, query: Tensor, bias: Tensor, visible: Tensor) -> Tensor:
            return attention(query, query, query, bias, visible, "sdpa")

    (query, _, _, bias), visible = case(40, 40, padded=True, biased=True)
    assert visible is not None
    samples = torch.export.Dim("samples", min=2, max=64)
    shapes = ({0: samples}, None, {0: samples})
    exported = torch.export.export(Attention(), (query, bias, visible), dynamic_shapes=shapes).module()
    assert torch.allclose(exported(query[:2], bias, visible[:2]), Attention()(query, bias, visible)[:2], atol=1e-5)
