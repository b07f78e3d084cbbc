from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.objectives.randomness import sample_rng
from model.objectives.token_to_line import line_class, sample_pairs


def rng_of(number: int) -> np.random.Generator:
    return sample_rng(0, 0, str(number), "token-to-line")


def available(lines: list[int]) -> Counter[int]:
    """How many pairs of positions each class has, by listing them all."""
    return Counter(min(abs(a - b), 2) for a, b in combinations(lines, 2))


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 70), st.integers(0, 1_000))
def test_labels_are_right_and_classes_balanced(lines: list[int], pairs: int, number: int) -> None:
    line_pairs, labels = sample_pairs(rng_of(number), np.array(lines, np.int64), pairs)
    assert line_pairs.shape == (pairs, 2)
    assert labels.shape == (pairs,)
    used = labels >= 0
    assert (labels[~used] == -100).all()
    assert (line_pairs[~used] == 0).all()
    first, second = line_pairs[used].T
    assert (first != second).all()
    ids = np.array(lines, np.int64)
    assert line_class(ids[first], ids[second]).tolist() == labels[used].tolist()
    have = available(lines)
    present = [kind for kind in range(3) if have[kind]]
    drawn = Counter(labels[used].tolist())
    for kind in range(3):
        share = pairs / len(present) if present else 0
        least, most = (min(int(share) + up, have[kind]) for up in (0, 1))
        assert least <= drawn[kind] <= most
    if present and all(have[kind] > share for kind in present):
        assert used.all(), "the remainder is given out too"


@pytest.mark.parametrize(
    "lines",
    [[0, 0, 0, 1, 1, 2, 4, 4, 5, 9], [3, 1, 3, 2, 0, 0, 2, 5], [7, 0, 0, 1, 1, 0, 2, 3, 3]],
    ids=["ordered, with gaps", "unordered", "columns"],
)
def test_every_pair_of_a_class_is_equally_likely(lines: list[int]) -> None:
    ids = np.array(lines)
    # One class with few pairs gives no more than it has: count draws of a class relative to all its draws.
    counts: Counter[tuple[int, int]] = Counter()
    for number in range(4_000):
        pairs, labels = sample_pairs(rng_of(number), ids, 9)
        counts.update((min(a, b), max(a, b)) for a, b in pairs[labels >= 0].tolist())
    for kind in range(3):
        pairs_of_kind = [p for p in combinations(range(len(ids)), 2) if line_class(ids[p[0]], ids[p[1]]) == kind]
        drawn = np.array([counts[p] for p in pairs_of_kind])
        expected = drawn.sum() / len(drawn)
        # chi-squared: its mean is the degrees of freedom f, its deviation sqrt(2 f)
        freedom = len(drawn) - 1
        assert ((drawn - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom + 1)


def test_both_orders_occur_and_pairs_are_not_neighbours_only() -> None:
    pairs, labels = sample_pairs(rng_of(0), np.arange(400) // 10, 3_000)
    first, second = pairs[labels >= 0].T
    assert 0.4 < (first < second).mean() < 0.6
    same_line = np.abs(first - second)[labels[labels >= 0] == 0]
    # In a line of ten positions 9 of the 45 pairs are neighbours.
    assert (same_line == 1).mean() == pytest.approx(9 / 45, abs=0.05)


@pytest.mark.parametrize("lines", [[], [0], [5]])
def test_too_few_tokens_have_no_pairs(lines: list[int]) -> None:
    pairs, labels = sample_pairs(rng_of(0), np.array(lines, np.int64), 8)
    assert (labels == -100).all()
    assert (pairs == 0).all()


def test_an_absent_class_leaves_its_share_to_the_others() -> None:
    _, labels = sample_pairs(rng_of(0), np.arange(200) // 100, 64)  # two lines: nothing is two lines apart
    assert Counter(labels.tolist()) == {0: 32, 1: 32}
