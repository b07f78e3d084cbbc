"""The model as Hugging Face's libraries use it: saved, loaded, found by Auto classes, adapted, quantised, watched."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM
from transformers.utils.generic import find_labels

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.errors import ModelInputError
from tests.model.pages import page_batch, page_inputs, small_config, small_model

MODEL = small_model()


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


def test_it_is_registered_with_the_auto_classes(tmp_path: Path) -> None:
    assert isinstance(AutoConfig.for_model("docformerv2", d_model=64), DocFormerV2Config)
    config = small_config(line_classes=4, spatial_init="normal", attention_path="reference")
    for auto in (AutoModel, AutoModelForSeq2SeqLM):
        assert isinstance(auto.from_config(config), DocFormerV2ForConditionalGeneration)
    small_model(line_classes=4).save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert again.config.line_classes == 4
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}


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


def test_a_trainer_asks_for_labels_alone() -> None:
    """It waits for all arguments that are called labels before it reports a loss."""
    assert find_labels(DocFormerV2ForConditionalGeneration) == ["labels"]


def test_an_exported_model_needs_no_docformer() -> None:
    model = small_model(attention_path="sdpa")
    batch = page_batch(model.config)
    asked = {**page_inputs(batch), "decoder_input_ids": batch["labels"].clamp(min=0), "use_cache": False}
    exported = torch.export.export(model, (), asked, strict=False)
    assert not [node for node in exported.graph.nodes if "docformer" in str(node.target)]
    assert torch.allclose(exported.module()(**asked)["logits"], model(**asked).logits, atol=1e-5)
