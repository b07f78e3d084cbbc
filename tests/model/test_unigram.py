import numpy as np
import pytest
import torch

from model.unigram import UnigramBaseline, is_text_target

VOCABULARY = 110  # ids 3..9 are text, 10..109 sentinels


def test_sentinels_eos_and_ignored_positions_are_no_text() -> None:
    labels = np.array([[109, 3, 9, 108, 5, 1, -100], [10, 2, 0, 1, -100, -100, -100]])
    expected = [[False, True, True, False, True, False, False], [False, True, True, False, False, False, False]]
    assert is_text_target(labels, VOCABULARY).tolist() == expected
    assert is_text_target(torch.from_numpy(labels), VOCABULARY).tolist() == expected


def test_the_loss_is_that_of_smoothed_frequencies() -> None:
    baseline = UnigramBaseline(VOCABULARY)
    baseline.add(np.array([109, 4, 4, 4, 108, 5, 1, -100]))
    # 9 ids can be text (0, 2..9); 4 was seen three times, 5 once, 4 targets in all.
    total, count = baseline.loss([np.array([109, 4, 7, 1]), np.array([-100, 5])])
    assert count == 3
    assert total == pytest.approx(-np.log(4 / 13) - np.log(1 / 13) - np.log(2 / 13))


def test_probabilities_sum_to_one() -> None:
    baseline = UnigramBaseline(VOCABULARY)
    baseline.add(np.arange(3, 10).repeat(5))
    assert np.exp(baseline.log_probabilities()).sum() == pytest.approx(1)


def test_frequent_text_is_cheaper_than_under_a_uniform_guess() -> None:
    rng = np.random.default_rng(0)
    text = np.minimum(3 + rng.geometric(0.5, 2_000), 9)
    baseline = UnigramBaseline(VOCABULARY)
    baseline.add(text[:1_000])
    total, count = baseline.loss([text[1_000:]])
    assert total / count < np.log(9)
