"""A model that works can learn 32 pages by heart: masked text, lines and cells, hidden boxes included."""

from typing import Any

import numpy as np
import torch

from model.batch import collate
from model.objectives.settings import ObjectiveSettings
from model.sample import SampleBuilder
from model.tokenizer import WordTokenizer
from tests.model.pages import small_model
from tests.model.rows import jpeg, page_row

PAGES, WORDS, WORDS_A_LINE = 32, 24, 4


def laid_out_row(number: int) -> dict[str, Any]:
    """A page of lines at random places, its cells computed from its boxes as in a corpus."""
    rng = np.random.default_rng(number)
    row = page_row(WORDS, number, WORDS_A_LINE, jpeg(64, 48, number))
    place = np.arange(WORDS)
    top = np.sort(rng.choice(23, WORDS // WORDS_A_LINE, replace=False))[place // WORDS_A_LINE] * 40
    left = place % WORDS_A_LINE * 230 + rng.integers(0, 80, WORDS)
    boxes = np.stack([left, top, left + rng.integers(40, 140, WORDS), top + 30], axis=1)
    cells = boxes[:, 1] * 4 // 1000 * 4 + boxes[:, 0] * 4 // 1000
    return {**row, "boxes": boxes.tolist(), "grid_cells": cells.tolist()}


def right_and_all(logits: torch.Tensor, labels: torch.Tensor) -> tuple[int, int]:
    counted = labels != -100
    return int((logits.argmax(-1) == labels)[counted].sum()), int(counted.sum())


def test_thirty_two_pages_are_learned_by_heart(word_tokenizer: WordTokenizer) -> None:
    model = small_model(0, vocab_size=word_tokenizer.vocab_size, d_model=96, d_kv=24, d_ff=192).train()
    builder = SampleBuilder(word_tokenizer, ObjectiveSettings(), (32, 24))
    samples = [builder.build(laid_out_row(number), seed=0, epoch=0) for number in range(PAGES)]
    batch = collate(samples)
    steps = 100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        model(**batch, skip_logits=True).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    with torch.no_grad():
        out = model.eval()(**batch)
    assert out.loss_dlm.item() < 0.05
    line_right, lines = right_and_all(out.line_logits, batch["line_targets"])
    grid_right, cells = right_and_all(out.grid_logits, batch["grid_targets"])
    hidden_right, hidden = right_and_all(
        out.grid_logits, batch["grid_targets"].masked_fill(~batch["bbox_hidden"], -100)
    )
    assert min(lines, cells, hidden) > 100
    assert line_right / lines > 0.99
    assert grid_right / cells > 0.99
    assert hidden_right / hidden > 0.99
