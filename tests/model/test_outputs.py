"""What a forward gives, as Hugging Face's users take it: the loss first, fields by name, nothing silently left out."""

from typing import Any

import pytest
import torch

from model.errors import ModelInputError
from tests.model.pages import page_batch, page_inputs, small_model

MODEL = small_model()


@pytest.mark.parametrize("skip_logits", [False, True])
def test_the_loss_comes_first(skip_logits: bool) -> None:
    batch = page_batch(MODEL.config)
    out = MODEL(**batch, skip_logits=skip_logits)
    assert torch.equal(out[0], out.loss)
    names = ["loss", "loss_dlm", "loss_line", "loss_grid", "counts", "logits", "line_logits", "grid_logits"]
    assert list(out.keys()) == [name for name in names if name != "logits" or not skip_logits] + [
        "encoder_last_hidden_state"
    ]
    values = MODEL(**batch, skip_logits=skip_logits, return_dict=False)
    assert isinstance(values, tuple)
    assert all(torch.equal(a, b) for a, b in zip(values, out.values(), strict=True))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"output_attentions": True}, "output_attentions"),
        ({"output_hidden_states": True}, "output_hidden_states"),
        ({"cache_implementation": "static"}, "cache_implementation"),
    ],
)
def test_what_is_not_kept_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    page = page_inputs(page_batch(MODEL.config))
    with pytest.raises(ModelInputError, match=named):
        MODEL.generate(**page, **asked, max_new_tokens=4, return_dict_in_generate=True)
    assert MODEL.generate(**page, **dict.fromkeys(asked), max_new_tokens=4).shape[1] > 1
