"""One gradient for the token embedding's readers: that of separate readers, whichever of them a loss comes from."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from model.docformer import DocFormerV2ForConditionalGeneration
from model.token_table import TokenEmbedding, TokenTable
from tests.model.pages import page_batch, small_model

Loss = Callable[[Any], torch.Tensor]


def gradients(
    model: DocFormerV2ForConditionalGeneration, batch: Any, loss: Loss, backwards: int = 1
) -> dict[str, torch.Tensor]:
    model.train().zero_grad()
    total = loss(model(**batch))
    for _ in range(backwards):
        total.backward(retain_graph=backwards > 1)
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.fixture
def separate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, torch.Tensor]]:
    """`gradients` of readers that share nothing."""

    def of(*args: Any) -> dict[str, torch.Tensor]:
        with monkeypatch.context() as patch:
            patch.setattr(TokenTable, "of", lambda tokens: None)
            return gradients(*args)

    return of


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("skip_logits", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda out: out.loss, id="all"),
        pytest.param(lambda out: out.loss_dlm, id="dlm"),
        pytest.param(lambda out: out.loss_grid, id="grid"),  # the decoder read the table, and no gradient comes of it
    ],
)
def test_gradients_are_those_of_separate_readers(tied: bool, skip_logits: bool, loss: Loss, separate: Any) -> None:
    model = small_model(tie_word_embeddings=tied)
    batch = page_batch(model.config) | {"skip_logits": skip_logits}
    shared, wanted = gradients(model, batch, loss), separate(model, batch, loss)
    assert shared.keys() == wanted.keys()
    assert wanted["encoder.embeddings.tokens.weight"].abs().sum() > 0
    for name, grad in wanted.items():
        assert torch.allclose(shared[name], grad, rtol=1e-5, atol=1e-7), name


def test_each_backward_pass_counts_once(separate: Any) -> None:
    model = small_model()
    batch = page_batch(model.config) | {"skip_logits": True}
    twice = gradients(model, batch, lambda out: out.loss, 2)
    once = separate(model, batch, lambda out: out.loss)
    for name, grad in once.items():
        assert torch.allclose(twice[name], 2 * grad, rtol=1e-5, atol=1e-7), name


def test_a_pass_that_never_comes_to_the_shared_tensors_leaves_nothing_behind(separate: Any) -> None:
    model = small_model()
    batch = page_batch(model.config, tokens=40, targets=40) | {"skip_logits": True}
    wanted = separate(model, batch, lambda out: out.loss)
    model.zero_grad()
    out = model(**batch)
    for weight in (model.decoder.norm.weight, model.encoder.layers[0].attention.qkv.weight):
        torch.autograd.grad(out.loss, weight, retain_graph=True)
    out.loss.backward()
    for name, grad in wanted.items():
        assert torch.allclose(model.get_parameter(name).grad, grad, rtol=1e-5, atol=1e-7), name


def test_a_step_leaves_no_circle_that_holds_its_graph() -> None:
    """Else memory would grow until Python looks for circles, and a table resized meanwhile could not train."""
    model = small_model().train()
    batch = page_batch(model.config, tokens=40, targets=40) | {"skip_logits": True}
    gc.collect()
    gc.disable()
    try:
        for rows in (97, 130):
            model.resize_token_embeddings(rows)
            model(**batch).loss.backward()
            model.zero_grad()
    finally:
        gc.enable()


def test_a_frozen_table_gets_no_gradient_and_its_readers_theirs() -> None:
    model = small_model()
    model.get_input_embeddings().weight.requires_grad_(False)
    found = gradients(model, page_batch(model.config) | {"skip_logits": True}, lambda out: out.loss)
    assert "encoder.embeddings.tokens.weight" not in found
    assert found["decoder.layers.0.attention.qkv.weight"].abs().sum() > 0


def test_another_kind_of_embedding_in_its_place_is_read_as_it_is(separate: Any) -> None:
    model = small_model()
    batch = page_batch(model.config) | {"skip_logits": True}
    wanted = separate(model, batch, lambda out: out.loss)
    plain = nn.Embedding(*model.get_input_embeddings().weight.shape)
    plain.weight = model.get_input_embeddings().weight
    model.set_input_embeddings(plain)
    assert TokenTable.of(plain) is None
    assert TokenTable.of(TokenEmbedding(9, 4, padding_idx=0)) is None, "its padding gets no gradient"
    found = gradients(model, batch, lambda out: out.loss)
    assert all(torch.equal(found[name], grad) for name, grad in wanted.items())


def test_tokens_that_occur_often_lose_nothing_to_bf16() -> None:
    """A thousand small gradients of one token, added one by one in bf16, stop to count after some hundred."""
    weight = nn.Parameter(torch.zeros(8, 4, dtype=torch.bfloat16))
    table = TokenTable(weight)
    table.gradient.add_product(torch.ones(8, 1, dtype=torch.bfloat16), torch.ones(1, 4, dtype=torch.bfloat16))
    table.gradient.add_rows(torch.full((2, 500), 3), torch.full((2, 500, 4), 0.25, dtype=torch.bfloat16))
    assert table.gradient.total is not None
    assert table.gradient.total[3].tolist() == [251, 251, 251, 251]
    assert table.gradient.total[2].tolist() == [1, 1, 1, 1]
