import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM
from transformers.cache_utils import DynamicCache

from model.config import PRESETS, DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.embeddings import TEXT, VISUAL
from model.errors import ModelInputError
from tests.model.pages import page_batch, page_inputs, small_config, small_model

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


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ModelInputError, match="tiny, small, base, large"):
        DocFormerV2Config.preset("huge")
    with pytest.raises(ModelInputError, match="unknown model field 'num_layer'; did you mean 'num_layers'"):
        DocFormerV2Config.preset("tiny", num_layer=7)
    assert set(PRESETS) == {"tiny", "small", "base", "large"}


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
    extra = {name: batch[name] for name in ("line_pairs", "line_labels", "grid_labels")}
    assert torch.equal(tokens, model.generate(**page, **extra, max_new_tokens=4, min_new_tokens=4))


def test_no_input_at_all_is_refused() -> None:
    model = small_model()
    with pytest.raises(ModelInputError, match="give the text, the picture, or both"):
        model(labels=torch.ones(1, 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": torch.full((3, 12, 4), 1001)}, "scale boxes to 0..1000"),
        ({"bbox": torch.full((3, 12, 4), -1)}, "scale boxes to 0..1000"),
        ({"bbox": torch.zeros(3, 11, 4, dtype=torch.long)}, "give \\[batch, tokens, 4\\]"),
        ({"attention_mask": torch.ones(3, 11)}, "attention_mask has 11 positions: give the text's, or all 20"),
        ({"attention_mask": torch.ones(3, 1, 20, 20)}, "a mask is \\[3, 1, 20, 20\\]: give \\[batch, positions\\]"),
        ({"attention_mask": torch.ones(2, 12)}, "at most \\[3, 20\\]"),
        ({"decoder_attention_mask": torch.ones(3, 8)}, "at most \\[3, 7\\]"),
        ({"labels": torch.ones(2, 7, dtype=torch.long)}, "3 pages and labels or decoder_input_ids for 2"),
        ({"inputs_embeds": torch.zeros(3, 12, 32)}, "inputs_embeds: not taken"),
        ({"decoder_inputs_embeds": torch.zeros(3, 7, 32)}, "decoder_inputs_embeds: not taken"),
        ({"output_hidden_states": True}, "not kept by this model"),
        ({"past_key_values": DynamicCache()}, "give an EncoderDecoderCache"),
        ({"pixel_values": torch.zeros(3, 3, 24, 32, dtype=torch.uint8)}, "rows, then columns"),
        ({"pixel_values": torch.zeros(3, 3, 32, 24)}, "torch.uint8"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    model = small_model()
    batch = page_batch(model.config)
    with pytest.raises(ModelInputError, match=message) as error:
        model(**{**batch, **change})
    assert "\n" not in str(error.value)


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


@pytest.mark.parametrize("path", ["auto", "sdpa"])
def test_a_compiled_step_is_one_graph_and_the_same(path: str) -> None:
    model = small_model(attention_path=path).train()
    batch = page_batch(model.config, tokens=40, targets=40)  # enough scores for attention by sample
    gradients = []
    for call in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        call(**batch, skip_logits=True).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients, atol=1e-5)


@pytest.mark.parametrize("around", [False, True])
def test_another_output_layer_gives_its_own_loss(around: bool) -> None:
    """What resizing leaves of an output layer of its own, and an adapter around it, know no labels."""
    model = small_model(tie_word_embeddings=False)
    if around:
        model.lm_head = nn.Sequential(model.lm_head, nn.Linear(97, 97))
    else:
        model.resize_token_embeddings(101)
    batch = page_batch(model.config)
    with_logits, without = model(**batch), model(**batch, skip_logits=True)
    assert torch.equal(with_logits.loss, without.loss)
    assert without.logits is None
    without.loss.backward()
    assert model.decoder.norm.weight.grad.abs().sum() > 0


class EightBits(nn.Module):
    """A quantised linear layer as libraries put one in place: whole numbers, and a result that may not be written."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.abs().amax() / 127
        self.weight = nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ResultAsView.apply(nn.functional.linear(x, self.weight * self.scale, self.bias))


class ResultAsView(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad


def test_quantised_layers_may_stand_in_place_of_the_linear_ones() -> None:
    model = small_model()
    batch = page_batch(model.config)
    whole = model(**batch).logits
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, EightBits(child))
    out = model(**batch, skip_logits=True)
    out.loss.backward()
    assert (model(**batch).logits - whole).abs().max() < 0.1


def test_every_part_may_be_watched_by_hooks() -> None:
    model = small_model()
    batch = page_batch(model.config)
    model(**batch).loss.backward()
    wanted = model.encoder.layers[0].feed_forward.inner.weight.grad.clone()
    model.zero_grad()
    seen: set[nn.Module] = set()
    for module in model.modules():
        module.register_full_backward_hook(lambda module, *_: seen.add(module))
    model(**batch).loss.backward()
    assert {type(module).__name__ for module in seen} >= {"Linear", "Conv2d", "EncoderLayer", "DecoderLayer"}
    assert torch.equal(model.encoder.layers[0].feed_forward.inner.weight.grad, wanted)


def test_predictions_of_a_trainer_begin_with_the_logits() -> None:
    """As T5's: what stands before and after the logits is not collected."""
    names = MODEL(**page_batch(MODEL.config)).keys()
    kept = [name for name in names if name not in ("loss", *MODEL.config.keys_to_ignore_at_inference)]
    assert kept == ["logits", "line_logits", "grid_logits", "encoder_last_hidden_state"]


def test_a_mask_of_the_last_decoder_positions_hides_the_same_on_every_path() -> None:
    models = [small_model(attention_path=path) for path in ("sample", "reference")]
    batch = page_batch(models[0].config) | {"decoder_attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]])}
    packed, plain = (model(**batch).logits for model in models)
    assert packed.shape == plain.shape
    assert torch.allclose(packed[0], plain[0], atol=1e-5)
    assert torch.allclose(packed[2, :5], plain[2, :5], atol=1e-5)


def test_states_asked_for_in_the_configuration_are_refused_too() -> None:
    model = small_model(output_hidden_states=True)
    with pytest.raises(ModelInputError, match="output_hidden_states: not kept"):
        model(**page_batch(model.config))


def test_no_labelled_target_gives_zero_and_not_nan() -> None:
    model = small_model()
    batch = page_batch(model.config)
    for name in ("labels", "line_labels", "grid_labels"):
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


@pytest.mark.parametrize("tied", [True, False])
def test_saved_and_loaded_model_gives_the_same_logits(tmp_path: Path, tied: bool) -> None:
    model = small_model(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {"config.json", "model.safetensors"}
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert isinstance(again, DocFormerV2ForConditionalGeneration)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), DocFormerV2Config)
    batch = page_batch(model.config)
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, again.eval()(**batch).logits)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    model = small_model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    for asked in ({}, {"use_safetensors": None}):
        with pytest.raises(OSError, match="safetensors"):
            DocFormerV2ForConditionalGeneration.from_pretrained(tmp_path, **asked)
    with pytest.raises(ModelInputError, match="pickled weights are never loaded"):
        DocFormerV2ForConditionalGeneration.from_pretrained(tmp_path, use_safetensors=False)


def test_each_modality_is_marked_with_its_own_row() -> None:
    model = small_model().train()
    batch = page_batch(model.config)
    rows = model.encoder.embeddings.modality.weight
    for name, row in (("pixel_values", VISUAL), ("input_ids", TEXT)):
        model.zero_grad()
        model(**{name: batch[name]}, labels=batch["labels"]).loss.backward()
        assert rows.grad[row].abs().sum() > 0
        assert rows.grad[1 - row].abs().sum() == 0


def test_it_is_registered_with_the_auto_classes(tmp_path: Path) -> None:
    assert isinstance(AutoConfig.for_model("docformerv2", d_model=64), DocFormerV2Config)
    config = small_config(line_classes=4, spatial_init="normal", attention_path="reference")
    for auto in (AutoModel, AutoModelForSeq2SeqLM):
        assert isinstance(auto.from_config(config), DocFormerV2ForConditionalGeneration)
    small_model(line_classes=4).save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert again.config.line_classes == 4
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}


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


def test_a_fresh_process_reproduces_the_logits(tmp_path: Path) -> None:
    model = small_model()
    model.save_pretrained(tmp_path)
    batch = page_batch(model.config)
    torch.save(batch, tmp_path / "batch.pt")
    code = (
        "import json, sys, torch\n"
        "from model import DocFormerV2ForConditionalGeneration\n"
        "from transformers.models.auto.processing_auto import PROCESSOR_MAPPING\n"
        "model = DocFormerV2ForConditionalGeneration.from_pretrained(sys.argv[1]).eval()\n"
        "assert type(model.config) in PROCESSOR_MAPPING\n"
        "with torch.no_grad():\n"
        "    logits = model(**torch.load(sys.argv[1] + '/batch.pt', weights_only=True)).logits\n"
        "print(json.dumps(logits.flatten()[:500].tolist()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=200, check=True
    )
    with torch.no_grad():
        here = model(**batch).logits.flatten()[:500]
    assert torch.equal(here, torch.tensor(json.loads(done.stdout.splitlines()[-1])))


def test_configuration_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelInputError, match="image_height / visual_rows"):
        small_config(image_height=30)
    with pytest.raises(ModelInputError, match="feed_forward_proj"):
        small_config(feed_forward_proj="swish")
    with pytest.raises(ModelInputError, match="grid_rows is 0"):
        small_config(grid_rows=0)
    with pytest.raises(ModelInputError, match="line_classes is 2"):
        small_config(line_classes=2)


def test_hidden_box_start_and_spatial_tables_have_one_tokens_scale() -> None:
    """Six rows summed start with the variance of one token row, in both ways of starting."""
    for start in ("fourier", "normal"):
        model = small_model(spatial_init=start, d_model=64)
        summed = model.encoder.embeddings.text_spatial(torch.randint(0, 500, (4, 64, 4)))
        assert 0.7 < summed.std().item() < 1.3
    neighbours = small_model(d_model=64).encoder.embeddings.text_spatial.tables.weight
    assert torch.cosine_similarity(neighbours[500], neighbours[501], dim=0) > 0.9
