"""With visual tokens absent and the page's additions zeroed, DocFormerV2 is the T5 it was started from."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

from model.errors import ModelInputError
from model.warm_start import config_from_t5, model_from_t5, warm_start
from tests.model.pages import small_config, small_model

FORMS: dict[str, dict[str, Any]] = {
    "1.0": {"feed_forward_proj": "relu"},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
PAGE = {"image_height": 32, "image_width": 24, "visual_rows": 4, "visual_columns": 2, "stem_channels": [4, 8]}


def random_t5(form: str, **changes: Any) -> T5ForConditionalGeneration:
    torch.manual_seed(1)
    fields: dict[str, Any] = {
        "vocab_size": 99,
        "d_model": 48,
        "d_kv": 16,
        "d_ff": 80,
        "num_layers": 3,
        "num_decoder_layers": 2,
        "num_heads": 3,
        "decoder_start_token_id": 0,
        "dropout_rate": 0.0,
    }
    t5 = T5ForConditionalGeneration(T5Config(**{**fields, **FORMS[form], **changes}))
    if form == "1.1":
        # The published 1.1 and flan files hold an output layer of their own.
        t5.lm_head.weight = nn.Parameter(0.1 * torch.randn_like(t5.lm_head.weight))
    return t5.eval()


@torch.no_grad()
def without_additions(model: Any) -> Any:
    """The same model, blind to boxes and modality."""
    embeddings = model.encoder.embeddings
    for parameter in (embeddings.text_spatial.tables.weight, embeddings.modality.weight, embeddings.hidden_box):
        parameter.zero_()
    return model.eval()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["reference", "sample", "sdpa"])
def test_encoder_output_and_logits_equal_t5(tmp_path: Path, form: str, path: str) -> None:
    t5 = random_t5(form)
    t5.save_pretrained(tmp_path)
    model, report = model_from_t5(str(tmp_path), attention_path=path, **PAGE)
    without_additions(model)
    assert model.config.tie_word_embeddings == (form == "1.0")
    # Longer than max_distance, so that every bucket of the position bias is met.
    input_ids = torch.randint(2, 99, (2, 150))
    mask = torch.ones_like(input_ids)
    mask[1, 90:] = 0
    decoder_input_ids = torch.randint(2, 99, (2, 140))
    bbox = torch.randint(0, 1001, (2, 150, 4)).sort(-1).values
    with torch.no_grad():
        theirs = t5(input_ids=input_ids, attention_mask=mask, decoder_input_ids=decoder_input_ids)
        ours = model(input_ids=input_ids, attention_mask=mask, bbox=bbox, decoder_input_ids=decoder_input_ids)
    real = mask.bool()
    difference = ours.encoder_last_hidden_state - theirs.encoder_last_hidden_state
    assert difference[real].abs().max() < 1e-4
    assert (ours.logits - theirs.logits).abs().max() < 1e-4
    assert theirs.logits.std() > 0.1
    assert not report.unused
    assert not report.resized
    assert all(
        ("spatial" in n) or ("visual" in n) or n.startswith(("token_to", "encoder.embeddings")) for n in report.new
    )


@pytest.mark.parametrize("form", FORMS)
def test_generation_equals_t5(tmp_path: Path, form: str) -> None:
    t5 = random_t5(form)
    t5.save_pretrained(tmp_path)
    model = without_additions(model_from_t5(str(tmp_path), **PAGE)[0])
    input_ids = torch.randint(2, 99, (2, 20))
    for settings in ({"num_beams": 1}, {"num_beams": 3}):
        theirs = t5.generate(input_ids=input_ids, max_new_tokens=10, do_sample=False, **settings)
        ours = model.generate(input_ids=input_ids, max_new_tokens=10, do_sample=False, **settings)
        assert torch.equal(ours, theirs)


def test_the_published_1_0_files_load(tmp_path: Path) -> None:
    """They name no activation, hold every alias of the embedding, and a cross-attention bias that T5 never reads."""
    t5 = random_t5("1.0")
    weights = {name: value.clone() for name, value in t5.state_dict().items()}
    bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    weights[bias] = torch.randn(32, 3)
    save_file(weights, tmp_path / "model.safetensors")
    config = t5.config.to_dict()
    for name in ("feed_forward_proj", "dense_act_fn", "is_gated_act", "scale_decoder_outputs", "tie_word_embeddings"):
        config.pop(name, None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, report = model_from_t5(str(tmp_path), **PAGE)
    assert model.config.tie_word_embeddings
    assert model.config.scale_decoder_outputs
    assert report.unused == (bias,)
    input_ids = torch.randint(2, 99, (1, 30))
    with torch.no_grad():
        ours = without_additions(model)(input_ids=input_ids, decoder_input_ids=input_ids).logits
        theirs = t5(input_ids=input_ids, decoder_input_ids=input_ids).logits
    assert (ours - theirs).abs().max() < 1e-4


def test_the_published_flan_files_load(tmp_path: Path) -> None:
    """1.1's form, in several files of half precision."""
    t5 = random_t5("1.1")
    t5.half().save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    model, report = model_from_t5(str(tmp_path), **PAGE)
    assert not model.config.tie_word_embeddings
    assert not model.config.scale_decoder_outputs
    assert model.config.feed_forward_proj == "gated-gelu"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(model.lm_head.weight, t5.lm_head.weight.float())
    assert {"lm_head.weight", "encoder.embeddings.tokens.weight"} <= set(report.loaded)
    assert not report.unused
    assert not report.resized
    names = {name for name, _ in model.named_parameters()}
    assert set(report.loaded) | set(report.new) == names


def test_files_of_1_1_that_say_nothing_of_a_scale_have_none(tmp_path: Path) -> None:
    """As they were published: newer versions of transformers write the scale down."""
    t5 = random_t5("1.1")
    t5.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    config["tie_word_embeddings"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert not config_from_t5(str(tmp_path), **PAGE).scale_decoder_outputs


def test_mt5_never_scales_whatever_its_file_says_of_the_output_layer(tmp_path: Path) -> None:
    torch.manual_seed(1)
    sizes = {"vocab_size": 99, "d_model": 48, "d_kv": 16, "d_ff": 80, "num_layers": 2, "num_heads": 3}
    mt5 = MT5ForConditionalGeneration(MT5Config(**sizes, decoder_start_token_id=0)).eval()
    mt5.save_pretrained(tmp_path)
    model, _ = model_from_t5(str(tmp_path), **PAGE)
    input_ids = torch.randint(2, 99, (1, 30))
    with torch.no_grad():
        ours = without_additions(model)(input_ids=input_ids, decoder_input_ids=input_ids).logits
        theirs = mt5(input_ids=input_ids, decoder_input_ids=input_ids).logits
    assert (ours - theirs).abs().max() < 1e-3


@pytest.mark.parametrize("damage", ["config", "list", "size", "weights", "quantised"])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    random_t5("1.0").save_pretrained(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    if damage in ("config", "list"):
        config.write_text("{" if damage == "config" else "[1]")
    elif damage == "size":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"d_model": "32"}))
    elif damage == "weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        save_file({name: value.to(torch.int8) for name, value in load_file(weights).items()}, weights)
    with pytest.raises(ModelInputError) as error:
        model_from_t5(str(tmp_path), **PAGE)
    assert "\n" not in str(error.value)


def test_another_name_of_the_embedding_is_read(tmp_path: Path) -> None:
    t5 = random_t5("1.0")
    t5.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    save_file(weights, tmp_path / "model.safetensors")
    model, report = model_from_t5(str(tmp_path), **PAGE)
    assert torch.equal(model.get_input_embeddings().weight, t5.shared.weight)
    assert not report.unused
    del weights["decoder.embed_tokens.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelInputError, match=r"has no shared\.weight"):
        model_from_t5(str(tmp_path), **PAGE)


def test_larger_vocabulary_keeps_the_t5s_rows(tmp_path: Path) -> None:
    t5 = random_t5("1.0")
    t5.save_pretrained(tmp_path)
    model, report = model_from_t5(str(tmp_path), vocab_size=120, **PAGE)
    assert report.resized == {"encoder.embeddings.tokens.weight": "99 to 120 rows"}
    assert torch.equal(model.get_input_embeddings().weight[:99], t5.shared.weight)
    added = model.get_input_embeddings().weight[99:]
    assert added.std().item() == pytest.approx(t5.shared.weight.std().item(), rel=0.01)
    assert torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("form", FORMS)
def test_other_vocabulary_leaves_token_rows_random(tmp_path: Path, form: str) -> None:
    random_t5(form).save_pretrained(tmp_path)
    config = config_from_t5(str(tmp_path), vocab_size=64, **PAGE)
    model = small_model(**{k: v for k, v in config.to_dict().items() if k in vars(small_config())})
    before = model.get_input_embeddings().weight.clone(), model.get_output_embeddings().weight.clone()
    report = warm_start(model, str(tmp_path), same_vocabulary=False)
    assert torch.equal(before[0], model.get_input_embeddings().weight)
    assert torch.equal(before[1], model.get_output_embeddings().weight)
    assert "encoder.embeddings.tokens.weight" in report.new
    assert report.unused == (("shared.weight",) if form == "1.0" else ("lm_head.weight", "shared.weight"))
    assert "parameters loaded" in report.summary()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    t5 = random_t5("1.0")
    t5.config.save_pretrained(tmp_path)
    torch.save(t5.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelInputError, match="pickled weights are never loaded"):
        model_from_t5(str(tmp_path))


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    random_t5("1.0").save_pretrained(tmp_path)
    with pytest.raises(ModelInputError, match="config_from_t5"):
        warm_start(small_model(), str(tmp_path))
    with pytest.raises(ModelInputError, match="no such folder"):
        model_from_t5(str(tmp_path / "absent"))
    with pytest.raises(ModelInputError, match="unknown model field 'dropout'"):
        config_from_t5(str(tmp_path), dropout=0.1)
