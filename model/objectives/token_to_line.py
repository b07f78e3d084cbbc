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
        line_targets: int64 [pairs], class of each pair; -100 in unused rows.
    """
    line_pairs = np.zeros((pairs, 2), np.int64)
    line_targets = np.full(pairs, IGNORED, np.int64)
    if len(lines) < 2:
        return line_pairs, line_targets
    # Positions grouped by line: group g is order[starts[g] : starts[g] + counts[g]].
    order = np.argsort(lines, kind="stable")
    grouped = lines[order]
    edges = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1], [True]]))
    starts, counts = edges[:-1], edges[1:] - edges[:-1]
    adjacent = grouped[starts[1:]] - grouped[starts[:-1]] == 1
    below = np.append(np.where(adjacent, counts[1:], 0), 0)  # tokens of the next line, of the one before
    above = np.append(0, np.where(adjacent, counts[:-1], 0))
    near = above + counts + below
    # Second positions open to a first one in each group, by class: in both directions for 0 and 2, down for 1.
    open_to = np.stack([counts - 1, below, len(lines) - near])
    cumulative = np.cumsum(counts * open_to).reshape(CLASSES, -1)
    totals = np.diff(cumulative[:, -1], prepend=0)
    quotas = _quotas(rng, pairs, totals // np.array([2, 1, 2]))
    kind = np.repeat(np.arange(CLASSES), quotas)

    # A group in proportion to its pairs of the class, then both positions evenly.
    draw = (cumulative[:, -1] - totals)[kind] + choose(rng, totals[kind])
    group = np.searchsorted(cumulative.reshape(-1), draw, side="right") - kind * len(starts)
    first = starts[group] + choose(rng, counts[group])
    second = choose(rng, open_to[kind, group])
    same = starts[group] + second
    same += same >= first
    down = starts[group] + counts[group] + second
    far = second + np.where(second >= (starts - above)[group], near[group], 0)
    second = np.where(kind == 0, same, np.where(kind == 1, down, far))

    found = order[np.stack([first, second], axis=1)]
    swap = rng.random(len(kind)) < 0.5
    found[swap] = found[swap][:, ::-1]
    line_pairs[: len(kind)] = found
    line_targets[: len(kind)] = kind
    return line_pairs, line_targets


def _quotas(rng: np.random.Generator, pairs: int, available: Ints) -> Ints:
    """How many pairs each class gives: equal shares over the classes present, none above what the class has."""
    present = np.flatnonzero(available)
    share = np.zeros(CLASSES, np.int64)
    if len(present):
        share[present] = pairs // len(present)
        # The remainder goes to classes in random order.
        share[present[np.argsort(rng.random(len(present)), kind="stable")[: pairs % len(present)]]] += 1
    return np.minimum(share, available)
