"""Filled spans: what stood there is what was masked, and the model's words are cut where it closes the span."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from cluster.runs.filled_spans import fill_spans
from model.objectives.settings import ObjectiveSettings
from model.sample import SampleBuilder
from model.tokenizer import WordTokenizer

WORDS = [f"word{i}" for i in range(40)]


class WordLevel:
    """A tokenizer of whole words in T5's layout."""

    def __init__(self) -> None:
        names = ["<pad>", "</s>", "<unk>", *WORDS, *(f"<extra_id_{i}>" for i in range(99, -1, -1))]
        self.names = names
        self.backend_tokenizer = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    def __len__(self) -> int:
        return len(self.names)

    def decode(self, ids: list[int]) -> str:
        return " ".join(self.names[i] for i in ids)


class Oracle:
    """A model that writes the sample's own targets, or one word for ever."""

    def __init__(self, labels: Any, stuck_on: int | None = None) -> None:
        self.labels, self.stuck_on = labels, stuck_on
        self.config = SimpleNamespace(decoder_start_token_id=0)

    def eval(self) -> None: ...

    def encoder(self, **inputs: Any) -> Any:
        assert inputs["input_ids"].shape[0] == 1
        return ()

    def __call__(self, decoder_input_ids: torch.Tensor, **_: Any) -> Any:
        token = int(self.labels[decoder_input_ids.shape[1] - 1]) if self.stuck_on is None else self.stuck_on
        logits = torch.zeros(1, decoder_input_ids.shape[1], 143)
        logits[0, -1, token] = 1.0
        return SimpleNamespace(logits=logits)


def page_row() -> dict[str, Any]:
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    count = len(WORDS)
    return {
        "page_id": "a" * 64,
        "source": {"uri": "letter.pdf", "member": None},
        "page_index": 2,
        "words": WORDS,
        "boxes": [[0, 10 * i, 50, 10 * i + 8] for i in range(count)],
        "line_ids": [i // 10 for i in range(count)],
        "grid_cells": [0] * count,
        "image": jpeg.getvalue(),
    }


def builder() -> tuple[WordLevel, SampleBuilder]:
    tokenizer = WordLevel()
    return tokenizer, SampleBuilder(WordTokenizer(tokenizer), ObjectiveSettings(line_pairs=4), (32, 32))


def test_a_model_that_knows_the_answer_gets_it_right() -> None:
    tokenizer, build = builder()
    sample = build.build(page_row(), 5, 0)
    (span,) = fill_spans(Oracle(sample["labels"]), tokenizer, build, [page_row()], seed=5)  # type: ignore[arg-type]
    assert span.predicted == span.gold
    assert span.page == "letter.pdf, page 3"
    at = WORDS.index(span.gold.split()[0])
    length = len(span.gold.split())
    assert span.gold.split() == WORDS[at : at + length], "the gold text is a run of the page's own words"
    assert span.before.split()[-1] in (WORDS[at - 1], "[…]")
    if span.after:
        assert span.after.split()[0] in (WORDS[at + length], "[…]")
    assert not set(span.gold.split()) & set((span.before + span.after).split()), "the answer is not in the context"


@pytest.mark.parametrize("count", [1, 3])
def test_a_model_that_never_stops_is_stopped(count: int) -> None:
    tokenizer, build = builder()
    oracle = Oracle(np.zeros(0), stuck_on=7)
    spans = fill_spans(oracle, tokenizer, build, [page_row()] * 5, count=count)  # type: ignore[arg-type]
    assert len(spans) == count
    assert all(len(span.predicted.split()) == 2 * len(span.gold.split()) for span in spans)


def test_a_page_without_a_masked_span_is_passed_over() -> None:
    tokenizer, build = builder()
    short = {**page_row(), "words": ["word1"], "boxes": [[0, 0, 9, 9]], "line_ids": [0], "grid_cells": [0]}
    assert fill_spans(Oracle(np.zeros(0), 7), tokenizer, build, [short]) == []  # type: ignore[arg-type]
