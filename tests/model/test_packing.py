"""Sequences packed side by side give what they give in a padded batch: values, losses and gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model.attention import attention
from model.errors import ModelInputError
from model.packing import Packed, Packing, packing_of
from tests.model.pages import page_batch, page_inputs, small_config, small_model

CPU = torch.device("cpu")
LENGTHS, SOURCES = (40, 7, 23), (30, 44, 12)
PATHS = ["reference", "sample", "sdpa"]


def lying(lengths: tuple[int, ...], round_to: int = 1) -> Packing:
    return Packing(lengths, max(lengths), CPU, round_to)


def tensors(lengths: tuple[int, ...], count: int, seed: int) -> list[Tensor]:
    """Packed rows [1, H, N, C] of noise."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 4, sum(lengths), 16, generator=generator) / 2 for _ in range(count)]


def test_what_is_packed_is_unpacked_the_same_and_gradients_go_back() -> None:
    packing = lying((3, 0, 5), round_to=4)
    padded = torch.randn(3, 5, 2, requires_grad=True)
    packed = packing.pack(padded)
    assert packed.shape == (1, 8, 2)
    assert torch.equal(packed[0, :3], padded[0, :3])
    assert torch.equal(packed[0, 3:], padded[2])
    real = torch.tensor([[1, 1, 1, 0, 0], [0] * 5, [1] * 5])[..., None]
    assert torch.equal(packing.unpack(packed), padded * real)
    weight = torch.randn(3, 5, 2)
    (packing.unpack(packed.square()) * weight).sum().backward()
    assert torch.allclose(padded.grad, 2 * padded * weight * real)
    rounded = lying((3, 0, 3), round_to=4)
    assert rounded.pack(padded[:, :3])[0, 6:].eq(0).all()
    assert rounded.sequence.tolist() == [0, 0, 0, 2, 2, 2, 3, 3]
    assert rounded.place.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]


def test_padding_is_left_out_where_it_stands_at_the_end_alone() -> None:
    found = packing_of(torch.tensor([[True, True, False], [True, False, False]]))
    assert found is not None
    assert (found.lengths, found.width, found.saves) == ((2, 1), 3, True)
    whole = packing_of(torch.ones(2, 3, dtype=torch.bool))
    assert whole is not None
    assert not whole.saves
    assert packing_of(torch.tensor([[True, False, True], [True, True, True]])) is None
    assert packing_of(torch.tensor([[False, True, True], [True, True, True]])) is None


def alone(inputs: list[Tensor], bias: Tensor | None, queries: Packing, keys: Packing) -> Tensor:
    """The plain reference on one sequence after the other."""
    parts = []
    for q, n, k, m in Packed(queries, keys).spans():
        shown = None if bias is None else bias[:, :, :n, :m]
        query, key, value = inputs[0][:, :, q : q + n], inputs[1][:, :, k : k + m], inputs[2][:, :, k : k + m]
        parts.append(attention(query, key, value, shown, None, "reference"))
    return torch.cat(parts, 2)


@pytest.mark.parametrize("path", [*PATHS, "flex"])
@pytest.mark.parametrize("round_to", [1, 64])
@pytest.mark.parametrize(("sources", "biased"), [(LENGTHS, True), (SOURCES, False)])
def test_every_path_gives_each_sequence_what_it_gives_it_alone(
    path: str, round_to: int, sources: tuple[int, ...], biased: bool
) -> None:
    queries, keys = lying(LENGTHS, round_to), lying(sources, round_to)
    inputs = tensors(LENGTHS, 1, 0) + tensors(sources, 2, 1)
    bias = torch.randn(1, 4, max(LENGTHS), max(sources)) if biased else None
    leaves = [x.requires_grad_(path != "flex") for x in [*inputs, *([] if bias is None else [bias])]]
    rounded = [
        torch.nn.functional.pad(x, (0, 0, 0, packing.positions - x.shape[2]))
        for x, packing in zip(inputs, (queries, keys, keys), strict=True)
    ]
    wanted = alone(inputs, bias, queries, keys)
    got = attention(rounded[0], rounded[1], rounded[2], bias, Packed(queries, keys), path)[:, :, : sum(LENGTHS)]
    assert torch.allclose(wanted, got, atol=2e-5)
    if path == "flex":  # on a CPU torch has no gradients for it
        return
    weight = torch.linspace(-1, 1, wanted.numel()).view_as(wanted)
    theirs, ours = (torch.autograd.grad((out * weight).sum(), leaves) for out in (wanted, got))
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, atol=2e-5)


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def losses_and_gradients(batch: Any, device: str = "cpu", **changes: Any) -> tuple[Tensor, dict[str, Tensor]]:
    model = small_model(**changes).train().to(device)
    out = model(**{name: value.to(device) for name, value in batch.items()}, skip_logits=True)
    out.loss.backward()
    losses = torch.stack([out.loss_dlm, out.loss_line, out.loss_grid]).detach().cpu()
    return losses, {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]], atol: float) -> None:
    assert torch.allclose(one[0], other[0], rtol=1e-5, atol=atol)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, other[1][name], atol=atol), name


def ragged() -> Any:
    """Texts of 60 to 30 tokens beside 8 visual ones, targets of 33, 33, 16 and 0 of 33 positions."""
    batch = page_batch(small_config(), batch=4, tokens=60, targets=33)
    batch["labels"][2, 16:] = -100
    batch["labels"][3] = -100
    return batch


@pytest.mark.parametrize("path", PATHS)
def test_a_packed_step_has_the_padded_steps_losses_and_gradients(path: str) -> None:
    padded = losses_and_gradients(ragged(), packing="never", attention_path="reference")
    assert_same(padded, losses_and_gradients(ragged(), packing="always", attention_path=path), 2e-6)


@on_cuda
@pytest.mark.parametrize("path", ["auto", "sdpa"])
def test_a_packed_step_on_cuda_has_the_padded_steps_losses_and_gradients(path: str) -> None:
    # FlexAttention's kernels want heads of at least 16.
    padded = losses_and_gradients(ragged(), packing="never", attention_path="reference", d_kv=16)
    packed = losses_and_gradients(ragged(), "cuda", packing="always", attention_path=path, d_kv=16)
    assert_same(padded, packed, 5e-3)


def test_a_packed_step_without_any_target_has_no_loss() -> None:
    batch = ragged()
    for name in ("labels", "line_targets", "grid_targets"):
        batch[name] = torch.full_like(batch[name], -100)
    losses, gradients = losses_and_gradients(batch)
    assert losses.tolist() == [0, 0, 0]
    assert all(gradient.eq(0).all() for gradient in gradients.values())


def test_padding_is_not_computed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    model, batch = small_model().train(), ragged()
    for layer in (model.encoder.layers[0].feed_forward, model.decoder.layers[0].feed_forward):
        layer.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].shape[:-1].numel()))
    model(**batch, skip_logits=True)
    assert rows == [4 * 8 + int(batch["attention_mask"].sum()), 33 + 33 + 16]


def test_packed_layers_that_are_recomputed_give_the_same() -> None:
    plain = losses_and_gradients(ragged())
    model = small_model().train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    out = model(**ragged(), skip_logits=True)
    out.loss.backward()
    losses = torch.stack([out.loss_dlm, out.loss_line, out.loss_grid]).detach()
    assert_same(plain, (losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}), 2e-6)


def test_masks_with_gaps_are_still_right() -> None:
    batch = ragged()
    batch["attention_mask"][0, 5:9] = 0
    padded = losses_and_gradients(batch, packing="never", attention_path="reference")
    assert_same(padded, losses_and_gradients(batch, packing="always"), 2e-6)


def test_generation_of_packed_pages_is_that_of_padded_ones() -> None:
    page = page_inputs(ragged())
    settings: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "no_repeat_ngram_size": 2}
    tokens = [
        small_model(3, tie_word_embeddings=False, initializer_factor=1.5, packing=packing).generate(**page, **settings)
        for packing in ("always", "never")
    ]
    assert torch.equal(*tokens)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ModelInputError, match="auto, always, never"):
        small_config(packing="often")
