"""The order of samples: a function of the corpora, the seed and the sample's number alone, never of workers or time.

The pages that are trained on are permuted anew each epoch: row groups first, then the rows inside windows of so many
row groups, so that reading stays close to sequential while a batch holds pages of many documents. Several corpora are
mixed by their weights, each with epochs of its own. Any position is found in constant time; a resume reads nothing of
what came before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cluster.samples.mixture import Mixture
from cluster.samples.page_index import PageIndex

Ints = NDArray[np.int64]

# Row groups mixed with each other, of all corpora together in the shares of their weights: more mix better and take
# more memory (tests/benchmarks/order.py).
WINDOW_GROUPS = 256
LEAST_GROUPS = 8  # of a corpus, however small its weight


@dataclass(frozen=True, order=True)
class Place:
    """Where a sample is, and when its neighbours are read: places close in this order are in few row groups.

    Attributes:
        epoch: of its corpus.
        turn: of its row group in that epoch.
        group: number of the row group, of all in the `PageIndex`.
        row: in the row group.
    """

    epoch: int
    turn: int
    group: int
    row: int


class SampleOrder:
    """Maps sample numbers 0, 1, 2, ... to places; an epoch's remainder carries on into the next epoch.

    Args:
        index: of the corpora's pages.
        weights: of the corpora, as in `Mixture`.
        seed: of the run.
        window_groups: permuted row groups among which rows are mixed, over all corpora.
    """

    def __init__(
        self, index: PageIndex, weights: Sequence[float], seed: int, window_groups: int = WINDOW_GROUPS
    ) -> None:
        self._mixture = Mixture(weights)
        windows = [max(LEAST_GROUPS, round(window_groups * weight / sum(weights))) for weight in weights]
        self._corpora = [
            _CorpusOrder(index, int(first), int(end), f"{seed}:{number}", windows[number])
            for number, (first, end) in enumerate(pairwise(index.corpus_groups))
        ]
        self.training_pages = sum(corpus.pages for corpus in self._corpora)

    def places(self, first: int, count: int) -> list[Place]:
        """Places of samples `first` .. `first + count - 1`."""
        return [self._place(*self._mixture.at(number)) for number in range(first, first + count)]

    def _place(self, corpus: int, number: int) -> Place:
        return self._corpora[corpus].place(number)

    def batch(self, first: int, count: int) -> list[Place]:
        """The same samples as `places`, so arranged that each stretch of them is read from few row groups.

        Every worker takes a stretch of each batch: this way a row group is read by about one of them, at any number
        of workers. Each stretch holds the corpora in their shares.
        """
        by_corpus: list[list[Place]] = [[] for _ in self._corpora]
        for number in range(first, first + count):
            corpus, own = self._mixture.at(number)
            by_corpus[corpus].append(self._place(corpus, own))
        keyed = [
            ((turn + 0.5) / len(places), corpus, place)
            for corpus, places in enumerate(by_corpus)
            for turn, place in enumerate(sorted(places))
        ]
        return [place for _, _, place in sorted(keyed)]

    def epoch(self, number: int) -> int:
        """How many times every corpus has been gone through before sample `number`."""
        counts = self._mixture.counts(number)
        return min(count // corpus.pages for count, corpus in zip(counts, self._corpora, strict=True))


class _CorpusOrder:
    """The order of one corpus: row groups `first` .. `end - 1` of the index."""

    def __init__(self, index: PageIndex, first: int, end: int, key: str, window_groups: int) -> None:
        self._index, self._first, self._end, self._key, self._window = index, first, end, key, window_groups
        self.pages = int(index.training[first:end].sum(dtype=np.int64))
        if not self.pages:
            raise ValueError("no page to train on")
        self._epoch = -1
        self._groups = self._ends = np.zeros(0, np.int64)
        self._mixed = (-1, -1)
        self._order = np.zeros((0, 2), np.int64)

    def place(self, number: int) -> Place:
        epoch, position = divmod(number, self.pages)
        self._enter_epoch(epoch)
        window = int(np.searchsorted(self._ends, position, side="right"))
        self._mix(epoch, window)
        start = int(self._ends[window - 1]) if window else 0
        turn, row = self._order[position - start].tolist()
        return Place(epoch, turn, int(self._groups[turn]), row)

    def _enter_epoch(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._groups = self._first + self._rng(epoch, 0).permutation(self._end - self._first)
        ends = np.cumsum(self._index.training[self._groups], dtype=np.int64)
        last = np.arange(self._window - 1, len(ends) + self._window - 1, self._window).clip(max=len(ends) - 1)
        self._ends, self._epoch, self._mixed = ends[last], epoch, (-1, -1)

    def _mix(self, epoch: int, window: int) -> None:
        if self._mixed == (epoch, window):
            return
        start = window * self._window
        rows = [self._index.training_rows(group) for group in self._groups[start : start + self._window].tolist()]
        pairs = np.concatenate([np.stack([np.full(len(own), start + i), own], 1) for i, own in enumerate(rows)])
        self._order = self._rng(epoch, window + 1).permutation(pairs)
        self._mixed = (epoch, window)

    def _rng(self, epoch: int, part: int) -> np.random.Generator:
        key = hashlib.sha256(f"order:{self._key}:{epoch}:{part}".encode()).digest()
        return np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], np.uint64)))


def share(batch: int, rank: int, world_size: int) -> tuple[int, int]:
    """First and end place, within a global batch, of the samples that `rank` takes; shares differ by one at most."""
    return batch * rank // world_size, batch * (rank + 1) // world_size
