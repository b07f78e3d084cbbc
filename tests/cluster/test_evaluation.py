"""Held-out sums, on logits whose losses are known."""

import math

import pytest
import torch

from cluster.training.evaluation import _scores, _Tallies, spread

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


def test_the_pages_are_spread_over_all_there_are() -> None:
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 9) == [0, 1, 2]
    assert spread(0, 9) == []


def test_visible_and_hidden_answers_are_counted_apart() -> None:
    tallies = _Tallies(cells=4, line_classes=3)
    hidden = torch.tensor([[False, True, False, True, False]])
    cells = torch.tensor([[2, 2, 1, 0, -100]])
    answers = torch.tensor([[2, 2, 2, 3, 2]])  # two right of four; one of two that are seen, one of two hidden
    pairs = torch.tensor([[[0, 2], [0, 1], [3, 1], [2, 0], [0, 0]]])  # seen, half hidden, hidden, seen, none
    lines, said = torch.tensor([[1, 1, 0, 2, -100]]), torch.tensor([[1, 1, 0, 0, 0]])
    batch = {"grid_targets": cells, "bbox_hidden": hidden, "line_pairs": pairs, "line_targets": lines}
    out = {"grid_logits": torch.eye(4)[answers], "line_logits": torch.eye(3)[said]}
    out |= {"loss_dlm": torch.tensor(9.0), "loss_line": torch.tensor(6.0), "loss_grid": torch.tensor(2.0)}
    tallies.add(batch, out, VOCABULARY)
    scores = _scores(dict(zip(tallies.names, tallies.values.tolist(), strict=True)), [3, 4, 4, 99])
    assert (scores["loss_dlm"], scores["loss_line"], scores["loss_grid"]) == (3.0, 1.5, 0.5)
    assert (scores["acc_grid"], scores["acc_grid_visible"], scores["acc_grid_hidden"]) == (0.5, 0.5, 0.5)
    assert (scores["majority_grid_visible"], scores["majority_grid_hidden"]) == (0.5, 0.5)
    assert (scores["acc_line"], scores["acc_line_visible"], scores["acc_line_hidden"]) == (0.75, 0.5, 1.0)
    assert math.isnan(scores["loss_dlm_text"])
