from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.embeddings import TEXT, VISUAL
from model.errors import ModelInputError
from tests.model.pages import page_batch, page_inputs, small_model

MODEL = small_model()
PAPER_MILLIONS = {"small": 66, "base": 232, "large": 750}


@pytest.mark.parametrize("preset", PAPER_MILLIONS)
def test_parameter_count_is_the_papers(preset: str) -> None:
    """Counted: backbone, token, spatial, visual and modality embeddings, visual stem, tied output layer (once); not
    the two pretraining heads, which the paper removes for downstream tasks.
    """
    with torch.device("meta"):
        model = DocFormerV2ForConditionalGeneration(DocFormerV2Config.preset(preset))
    counted = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("token_to_"))
    assert counted == pytest.approx(PAPER_MILLIONS[preset] * 1e6, rel=0.03)


@pytest.mark.parametrize("inputs", ["both", "text", "picture"])
def test_every_mix_of_inputs_trains_and_generates(inputs: str) -> None:
    model = small_model().train()
    batch = page_batch(model.config)
    page = page_inputs(batch)
    if inputs == "text":
        del page["pixel_values"]
    if inputs == "picture":
        page = {"pixel_values": page["pixel_values"]}
    out = model(**page, labels=batch["labels"])
    out.loss.backward()
    positions = {"both": 8 + 12, "text": 12, "picture": 8}[inputs]
    assert out.encoder_last_hidden_state.shape == (3, positions, 32)
    assert model.encoder.layers[0].attention.qkv.weight.grad.abs().sum() > 0
    tokens = model.eval().generate(**page, max_new_tokens=4, min_new_tokens=4)
    assert tokens.shape == (3, 5)
    extra = {name: batch[name] for name in ("line_pairs", "line_targets", "grid_targets")}
    assert torch.equal(tokens, model.generate(**page, **extra, max_new_tokens=4, min_new_tokens=4))


def test_a_hidden_box_does_not_leak() -> None:
    model = small_model()
    batch = page_batch(model.config)
    hidden = batch["bbox_hidden"]
    assert hidden.any()
    changed = {**batch, "bbox": torch.where(hidden[..., None], torch.tensor([7, 90, 500, 1000]), batch["bbox"])}
    with torch.no_grad():
        before, after = model(**batch), model(**changed)
        shown = model(**{**changed, "bbox_hidden": torch.zeros_like(hidden)})
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.line_logits, after.line_logits)
    assert torch.equal(before.grid_logits, after.grid_logits)
    assert not torch.allclose(before.grid_logits, shown.grid_logits)


def test_padding_changes_nothing() -> None:
    model = small_model()
    batch = page_batch(model.config, batch=2)
    page, real = page_inputs(batch), batch["attention_mask"].bool()
    noise = {
        **page,
        "input_ids": torch.where(real, page["input_ids"], 5),
        "bbox": torch.where(real[..., None], page["bbox"], 77),
    }
    length = int(real[1].sum())
    alone = {name: value[1:, :length] if name != "pixel_values" else value[1:] for name, value in page.items()}
    with torch.no_grad():
        padded = model(**page, labels=batch["labels"]).logits
        assert torch.allclose(padded, model(**noise, labels=batch["labels"]).logits, atol=1e-5)
        assert torch.allclose(padded[1:], model(**alone, labels=batch["labels"][1:]).logits, atol=1e-5)


def test_visual_tokens_cover_the_page_in_order() -> None:
    model = small_model()
    boxes = model.encoder.embeddings.patch_boxes(torch.device("cpu"))
    assert boxes[0].tolist() == [0, 0, 500, 250]
    assert boxes[-1].tolist() == [500, 750, 1000, 1000]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert int(area.sum()) == 1000 * 1000
    # Token number 3 (row 1, column 1) sees rows 8..16 and columns 12..24 of the 32 x 24 picture, and nothing else.
    picture = torch.full((1, 3, 32, 24), 255, dtype=torch.uint8)
    marked = picture.clone()
    marked[:, :, 8:16, 12:24] = 0
    stem = model.encoder.embeddings.stem
    moved = (stem(picture) - stem(marked)).abs().sum(-1)[0] > 1e-6
    assert moved.tolist() == [False, False, False, True, False, False, False, False]


def test_losses_are_sums_over_the_given_denominators() -> None:
    model = small_model(loss_weight_line=0.5, loss_weight_grid=0.0)
    batch = page_batch(model.config)
    out = model(**batch)
    assert out.counts.tolist() == [7 + 7 + 3, 14, int(batch["attention_mask"].sum())]
    whole = model(**batch, denominators=2 * out.counts)
    assert torch.allclose(2 * whole.loss_dlm, out.loss_dlm)
    assert torch.allclose(out.loss, out.loss_dlm + 0.5 * out.loss_line)


def test_a_batch_in_parts_has_the_whole_batchs_gradient() -> None:
    model = small_model()
    batch = page_batch(model.config, batch=4)
    counts = model(**batch).counts

    def gradient(parts: list[slice]) -> torch.Tensor:
        model.zero_grad()
        for part in parts:
            share = {name: value[part] for name, value in batch.items()}
            model(**share, denominators=counts, skip_logits=True).loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    assert torch.allclose(gradient([slice(0, 4)]), gradient([slice(0, 1), slice(1, 4)]), atol=1e-6)


def test_logits_at_labelled_positions_alone_give_the_same_loss_and_gradient() -> None:
    model = small_model()
    batch = page_batch(model.config)
    gradients = []
    for skip in (False, True):
        model.zero_grad()
        out = model(**batch, skip_logits=skip)
        out.loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        assert (out.logits is None) == skip
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"attention_path": "sdpa"}, {"tie_word_embeddings": False}])
@pytest.mark.parametrize("asked", ["all", "logits", "encoder's tasks"])
def test_a_compiled_step_is_one_graph_and_the_same(changes: dict[str, Any], asked: str) -> None:
    model = small_model(**changes)
    batch = page_batch(model.config, tokens=40, targets=40)  # enough scores for attention by sample
    if asked == "encoder's tasks":
        del batch["labels"]
    gradients = []
    for call in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        for _ in range(2):  # the second is added to the first one's gradients
            call(**batch, skip_logits=asked != "logits").loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-5)


def test_a_mask_of_the_last_decoder_positions_hides_the_same_on_every_path() -> None:
    models = [small_model(attention_path=path) for path in ("sample", "reference")]
    batch = page_batch(models[0].config) | {"decoder_attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]])}
    packed, plain = (model(**batch).logits for model in models)
    assert packed.shape == plain.shape
    assert torch.allclose(packed[0], plain[0], atol=1e-5)
    assert torch.allclose(packed[2, :5], plain[2, :5], atol=1e-5)


def test_no_labelled_target_gives_zero_and_not_nan() -> None:
    model = small_model()
    batch = page_batch(model.config)
    for name in ("labels", "line_targets", "grid_targets"):
        batch[name] = torch.full_like(batch[name], -100)
    out = model(**batch, skip_logits=True)
    out.loss.backward()
    assert out.loss.item() == 0


def test_gradient_checkpointing_changes_no_gradient() -> None:
    model = small_model().train()
    batch = page_batch(model.config, tokens=40, targets=40)
    gradients = []
    for enable in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        enable()
        model.zero_grad()
        model(**batch).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert model.is_gradient_checkpointing
    assert torch.allclose(*gradients, atol=1e-6)
    with pytest.raises(ModelInputError, match="use_reentrant=False"):
        model.gradient_checkpointing_enable({"use_reentrant": True})


def test_the_model_trains_after_a_forward_in_inference_mode() -> None:
    """Memory that attention keeps from one call to the next serves both."""

    def use() -> None:
        model = small_model()
        batch = page_batch(model.config, tokens=40, targets=40)
        with torch.inference_mode():
            model(**batch)
        model.train()(**batch).loss.backward()

    with ThreadPoolExecutor(1) as fresh_thread:
        fresh_thread.submit(use).result()


def test_half_precision_hides_padding_on_the_fused_path() -> None:
    model = small_model(attention_path="sdpa").half()
    batch = page_batch(model.config)
    noise = torch.where(batch["attention_mask"].bool(), batch["input_ids"], 5)
    with torch.no_grad():
        logits, again = (model(**{**batch, "input_ids": ids}).logits for ids in (batch["input_ids"], noise))
    assert logits.isfinite().all()
    assert torch.equal(logits, again)


def test_each_modality_is_marked_with_its_own_row() -> None:
    model = small_model().train()
    batch = page_batch(model.config)
    rows = model.encoder.embeddings.modality.weight
    for name, row in (("pixel_values", VISUAL), ("input_ids", TEXT)):
        model.zero_grad()
        model(**{name: batch[name]}, labels=batch["labels"]).loss.backward()
        assert rows.grad[row].abs().sum() > 0
        assert rows.grad[1 - row].abs().sum() == 0


def test_bf16_weights_give_the_fp32_losses_and_gradients_to_bf16s_precision() -> None:
    exact, rounded = small_model().train(), small_model().train().bfloat16()
    batch = page_batch(exact.config)
    losses = []
    for model in (exact, rounded):
        out = model(**batch, skip_logits=True)
        out.loss.backward()
        losses.append(out.loss.item())
        assert out.loss.dtype == torch.float32
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    for (name, theirs), ours in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        assert theirs.grad is not None, name
        assert ours.grad is not None, name
        assert torch.cosine_similarity(theirs.grad.flatten(), ours.grad.float().flatten(), dim=0) > 0.98, name


def test_autocast_gives_the_fp32_losses_to_bf16s_precision() -> None:
    model = small_model().train()
    batch = page_batch(model.config)
    exact = model(**batch).loss.item()
    for skip in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            out = model(**batch, skip_logits=skip)
        out.loss.backward()
        assert out.loss.item() == pytest.approx(exact, rel=0.02)


BOX = st.tuples(*[st.integers(0, 1000)] * 4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)


@settings(deadline=None, max_examples=60)
@given(boxes=st.lists(BOX, min_size=1, max_size=20))
def test_any_boxes_embedding_is_the_sum_of_its_six_rows(boxes: list[list[int]]) -> None:
    spatial = MODEL.encoder.embeddings.text_spatial
    tables = spatial.tables.weight.view(6, 1000, -1)
    with torch.no_grad():
        summed = spatial(torch.tensor([boxes]))[0]
    for (x0, y0, x1, y1), row in zip(boxes, summed, strict=True):
        wanted = sum(tables[k, min(v, 999)] for k, v in enumerate((x0, y0, x1, y1, x1 - x0, y1 - y0)))
        assert torch.allclose(row, wanted, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(boxes=st.lists(BOX, min_size=12, max_size=12), order=st.permutations(range(3)))
def test_random_boxes_train_and_a_batchs_order_does_not_matter(boxes: list[list[int]], order: list[int]) -> None:
    batch = {**page_batch(MODEL.config), "bbox": torch.tensor([boxes] * 3)}
    shuffled = {name: value[order] for name, value in batch.items()}
    with torch.no_grad():
        one, other = MODEL(**batch), MODEL(**shuffled)
    assert torch.isfinite(one.loss)
    assert torch.allclose(one.grid_logits[order], other.grid_logits, atol=1e-5)
    assert one.loss.item() == pytest.approx(other.loss.item(), rel=1e-4)


def test_hidden_box_start_and_spatial_tables_have_one_tokens_scale() -> None:
    """Six rows summed start with the variance of one token row, in both ways of starting."""
    for start in ("fourier", "normal"):
        model = small_model(spatial_init=start, d_model=64)
        summed = model.encoder.embeddings.text_spatial(torch.randint(0, 500, (4, 64, 4)))
        assert 0.7 < summed.std().item() < 1.3
    neighbours = small_model(d_model=64).encoder.embeddings.text_spatial.tables.weight
    assert torch.cosine_similarity(neighbours[500], neighbours[501], dim=0) > 0.9
