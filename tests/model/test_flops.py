import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.flops import RULE, mfu, step_flops
from tests.model.pages import page_batch, small_config


@pytest.mark.parametrize(
    ("preset", "text", "giga"), [("small", 512, 133), ("base", 512, 532), ("large", 512, 1799), ("base", 1024, 945)]
)
def test_the_rule_gives_the_projects_table(preset: str, text: int, giga: int) -> None:
    flops = step_flops(DocFormerV2Config.preset(preset), text, 128)
    assert (flops.total - flops.stem - flops.heads) / 1e9 == pytest.approx(giga, rel=0.01)
    assert "3 x (2 x weights" in RULE


@pytest.mark.parametrize("change", [{}, {"feed_forward_proj": "gated-gelu"}])
def test_the_rule_counts_what_a_step_multiplies(change: dict[str, str]) -> None:
    """Against torch's own counter of the products that run; it differs by the first convolution's input gradient."""
    config = small_config(packing="never", **change)
    model = DocFormerV2ForConditionalGeneration(config).train()
    batch = page_batch(config, batch=2, tokens=12, targets=7)
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    ours = step_flops(config, 12, 7, pairs=5)
    first_convolution = 2 * 3 * 4 * 4 * (16 * 12)
    assert counter.get_total_flops() == pytest.approx(2 * (ours.total - first_convolution), rel=1e-3)

    del batch["labels"]  # without denoising no decoder runs
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    ours = step_flops(config, 12, 0, pairs=5)
    assert counter.get_total_flops() == pytest.approx(2 * (ours.total - first_convolution), rel=1e-3)


def test_mfu_of_an_unknown_peak_is_none() -> None:
    assert mfu(1e12, torch.device("cpu"), torch.float32) is None
