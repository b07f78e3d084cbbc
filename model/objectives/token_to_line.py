"""Token-to-line: how many visual lines lie between two tokens, in three classes; paper section 2.

Class 0 is the same line, 1 one line apart, 2 two or more. Rule of the pairs, ours: the number of pairs is divided
equally over the classes that the page has (the remainder goes to classes at random), and within a class every
pair of positions is equally likely, drawn with replacement; a class gives at most as many pairs as it has different
ones. The two positions of a pair stand in random order. A page with fewer than two tokens has no pairs.
"""

import numpy as np
from numpy.typing import NDArray

from model.objectives.randomness import choose

CLASSES = 3
IGNORED = -100

Ints = NDArray[np.int64]


def line_class(first: Ints, second: Ints) -> Ints:
    """The class of pairs of line ids: min(distance in lines, 2)."""
    classes: Ints = np.minimum(np.abs(first - second), CLASSES - 1)
    return classes


def sample_pairs(rng: np.random.Generator, lines: Ints, pairs: int) -> tuple[Ints, Ints]:
    """Class-balanced pairs of positions, without listing all pairs (linear in the number of tokens).

    Args:
        rng: the sample's generator for this objective.
        lines: int [S], line id of each position (all of them may be drawn).
        pairs: how many rows to return.

    Returns:
        line_pairs: int64 [pairs, 2], positions; unused rows are (0, 0).
        line_labels: int64 [pairs], class of each pair; -100 in unused rows.
    """
    line_pairs = np.zeros((pairs, 2), np.int64)
    line_labels = np.full(pairs, IGNORED, np.int64)
    # Positions grouped by line: `order` holds them, line k of `ids` is order[starts[k] : starts[k] + counts[k]].
    order = np.argsort(lines, kind="stable")
    ids, starts, counts = np.unique(lines[order], return_index=True, return_counts=True)
    below = np.zeros(len(ids), np.int64)
    adjacent = np.diff(ids) == 1
    below[:-1] = np.where(adjacent, counts[1:], 0)
    above = np.zeros(len(ids), np.int64)
    above[1:] = np.where(adjacent, counts[:-1], 0)
    # Number of pairs that begin in each line, by class: ordered pairs for 0 and 2, downward pairs for 1.
    weights = (counts * (counts - 1), counts * below, counts * (len(lines) - counts - below - above))
    unordered = [int(weights[0].sum()) // 2, int(weights[1].sum()), int(weights[2].sum()) // 2]
    quotas = _quotas(rng, pairs, unordered)

    filled = 0
    for kind, quota in enumerate(quotas):
        if not quota:
            continue
        cumulative = np.cumsum(weights[kind])
        line = np.searchsorted(cumulative, choose(rng, np.full(quota, cumulative[-1])), side="right")
        first = choose(rng, counts[line])
        if kind == 0:
            second = choose(rng, counts[line] - 1)
            second += second >= first
            second += starts[line]
        elif kind == 1:
            second = starts[line] + counts[line] + choose(rng, below[line])
        else:
            block = above[line] + counts[line] + below[line]
            second = choose(rng, len(lines) - block)
            second += np.where(second >= starts[line] - above[line], block, 0)
        rows = slice(filled, filled + quota)
        line_pairs[rows] = order[np.stack([starts[line] + first, second], axis=1)]
        line_labels[rows] = kind
        filled += quota
    swap = rng.random(filled) < 0.5
    line_pairs[:filled][swap] = line_pairs[:filled][swap][:, ::-1]
    return line_pairs, line_labels


def _quotas(rng: np.random.Generator, pairs: int, available: list[int]) -> list[int]:
    """How many pairs each class gives: equal shares over the classes present, none above what the class has."""
    present = [kind for kind in range(CLASSES) if available[kind]]
    if not present:
        return [0] * CLASSES
    favoured = np.argsort(rng.random(len(present)), kind="stable")[: pairs % len(present)]
    quotas = [0] * CLASSES
    for place, kind in enumerate(present):
        quotas[kind] = min(pairs // len(present) + (place in favoured), available[kind])
    return quotas
