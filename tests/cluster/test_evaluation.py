"""Held-out sums, on logits whose losses are known."""

import math

import pytest
import torch

from cluster.training.evaluation import _Tallies

VOCABULARY, COLUMNS = 110, 128  # pad, eos, eight more and 100 sentinels; the model's output is padded


def test_words_are_scored_with_and_without_the_knowledge_that_one_follows() -> None:
    tallies = _Tallies(cells=4, line_classes=3)
    logits = torch.zeros(1, 4, COLUMNS)
    logits[0, 0, 7] = math.log(5.0)  # the right word, 5 of 132 of the probability, 5 of 13 among words
    labels = torch.tensor([[7, 5, 1, -100]])
    tallies.add({"labels": labels}, {"logits": logits}, VOCABULARY)
    sums = dict(zip(tallies.names, tallies.values.tolist(), strict=True))
    assert sums["text"] == 2, "eos and what is ignored are no words"
    assert sums["sum_text"] == pytest.approx(math.log(132 / 5) + math.log(128))
    assert sums["sum_word"] == pytest.approx(math.log(13 / 5) + math.log(9)), "nine ids are neither eos nor sentinel"
