"""What a model refuses: inputs that do not fit together, and what it does not keep or know."""

from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicCache

from model.config import PRESETS, DocFormerV2Config
from model.errors import ModelInputError
from tests.model.pages import page_batch, small_config, small_model


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ModelInputError, match="tiny, small, base, large"):
        DocFormerV2Config.preset("huge")
    with pytest.raises(ModelInputError, match="unknown model field 'num_layer'; did you mean 'num_layers'"):
        DocFormerV2Config.preset("tiny", num_layer=7)
    assert set(PRESETS) == {"tiny", "small", "base", "large"}


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
        ({"attention_mask": torch.ones(3, 1, 20, 20)}, "attention_mask is \\[3, 1, 20, 20\\]: give \\[3, any\\]"),
        ({"decoder_attention_mask": torch.ones(3, 8)}, "a mask is \\[3, 8\\]: there are 7 positions"),
        ({"inputs_embeds": torch.zeros(3, 12, 32)}, "inputs_embeds: not taken"),
        ({"decoder_inputs_embeds": torch.zeros(3, 7, 32)}, "decoder_inputs_embeds: not taken"),
        ({"output_hidden_states": True}, "not kept by this model"),
        ({"past_key_values": DynamicCache()}, "give an EncoderDecoderCache"),
        ({"pixel_values": torch.zeros(3, 3, 24, 32, dtype=torch.uint8)}, "rows, then columns"),
        ({"pixel_values": torch.zeros(3, 3, 32, 24)}, "torch.uint8"),
        ({"pixel_values": torch.zeros(1, 3, 32, 24, dtype=torch.uint8)}, "pixel_values is .*give \\[3, any"),
        ({"attention_mask": torch.ones(1, 12)}, "attention_mask is \\[1, 12\\]: give \\[3, any\\]"),
        ({"bbox_hidden": torch.zeros(3, 11, dtype=torch.bool)}, "bbox_hidden is .*give \\[3, 12\\]"),
        ({"labels": torch.ones(1, 5, dtype=torch.long)}, "labels is .*give \\[3, any\\]"),
        ({"decoder_attention_mask": torch.ones(1, 5)}, "decoder_attention_mask is .*give \\[3, any\\]"),
        ({"line_pairs": torch.zeros(3, 4, dtype=torch.long)}, "line_pairs is .*give \\[3, any, 2\\]"),
        ({"line_targets": torch.zeros(3, 1, dtype=torch.long)}, "line_targets is"),
        ({"grid_targets": torch.zeros(3, 11, dtype=torch.long)}, "grid_targets is .*give \\[3, 12\\]"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    model = small_model()
    batch = page_batch(model.config)
    with pytest.raises(ModelInputError, match=message) as error:
        model(**{**batch, **change})
    assert "\n" not in str(error.value)


def test_states_asked_for_in_the_configuration_are_refused_too() -> None:
    model = small_model(output_hidden_states=True)
    with pytest.raises(ModelInputError, match="output_hidden_states: not kept"):
        model(**page_batch(model.config))


def test_configuration_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelInputError, match="image_height / visual_rows"):
        small_config(image_height=30)
    with pytest.raises(ModelInputError, match="feed_forward_proj"):
        small_config(feed_forward_proj="swish")
    with pytest.raises(ModelInputError, match="grid_rows is 0"):
        small_config(grid_rows=0)
    with pytest.raises(ModelInputError, match="line_classes is 2"):
        small_config(line_classes=2)
