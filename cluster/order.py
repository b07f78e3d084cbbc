"""The order of samples: a function of the corpus, the seed and the sample's number alone, never of workers or time.

The held-out pages are set aside by their document. The others are permuted anew each epoch: row groups first, then the
rows inside windows of neighbouring row groups, so that reading stays close to sequential while a batch holds pages of
many documents. Any position is found in constant time; a resume reads nothing of what came before.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

WINDOW_GROUPS = 64


def held_out_bound(doc_ids: Iterable[str], fraction: float) -> int:
    """The bound below which a document's hash keeps all its pages out of training: `fraction` of the hashes' range.

    Few documents may all fall on one side; then the one with the smallest hash is held out, or the one with the
    largest is trained on. A single document is never held out.
    """
    bound = int(fraction * 2**64)
    hashes = {_hash(doc_id) for doc_id in doc_ids}
    if len(hashes) < 2:
        return 0
    if fraction > 0:
        bound = max(bound, min(hashes) + 1)
    return min(bound, max(hashes))


def is_held_out(doc_id: str, bound: int) -> bool:
    """Whether all pages of a document are kept out of training, under a bound from `held_out_bound`."""
    return _hash(doc_id) < bound


def _hash(doc_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"held-out:{doc_id}".encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Place:
    """Where a sample is: its epoch, and its row group (of all in the corpus) and row in it."""

    epoch: int
    group: int
    row: int


class SampleOrder:
    """Maps sample numbers 0, 1, 2, ... to places; an epoch's remainder carries on into the next epoch.

    Args:
        training_rows: for each row group of the corpus, in shard order, the rows that are trained on (int arrays).
        seed: of the run.
        window_groups: permuted row groups among which rows are mixed.
    """

    def __init__(self, training_rows: list[Ints], seed: int, window_groups: int = WINDOW_GROUPS) -> None:
        self._rows, self._seed, self._window = training_rows, seed, window_groups
        self._sizes = np.array([len(rows) for rows in training_rows], np.int64)
        self.samples_an_epoch = int(self._sizes.sum())
        if not self.samples_an_epoch:
            raise ValueError("no row to train on")
        self._epoch = -1
        self._groups: Ints = np.zeros(0, np.int64)
        self._ends: Ints = np.zeros(0, np.int64)
        self._mixed: tuple[int, int] = (-1, -1)
        self._order: Ints = np.zeros((0, 2), np.int64)

    def places(self, first: int, count: int) -> list[Place]:
        """Places of samples `first` .. `first + count - 1`."""
        return [self._place(number) for number in range(first, first + count)]

    def _place(self, number: int) -> Place:
        epoch, position = divmod(number, self.samples_an_epoch)
        self._enter_epoch(epoch)
        window = int(np.searchsorted(self._ends, position, side="right"))
        self._mix(epoch, window)
        start = int(self._ends[window - 1]) if window else 0
        group, row = self._order[position - start]
        return Place(epoch, int(group), int(row))

    def _enter_epoch(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._groups = self._rng(epoch, 0).permutation(len(self._rows))
        ends = np.cumsum(self._sizes[self._groups])
        last = np.arange(self._window - 1, len(ends) + self._window - 1, self._window).clip(max=len(ends) - 1)
        self._ends, self._epoch, self._mixed = ends[np.unique(last)], epoch, (-1, -1)

    def _mix(self, epoch: int, window: int) -> None:
        if self._mixed == (epoch, window):
            return
        groups = self._groups[window * self._window : (window + 1) * self._window]
        pairs = np.concatenate([np.stack([np.full(len(self._rows[g]), g), self._rows[g]], 1) for g in groups.tolist()])
        self._order = self._rng(epoch, window + 1).permutation(pairs)
        self._mixed = (epoch, window)

    def _rng(self, epoch: int, part: int) -> np.random.Generator:
        key = hashlib.sha256(f"order:{self._seed}:{epoch}:{part}".encode()).digest()
        return np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], np.uint64)))


def share(batch: int, rank: int, world_size: int) -> tuple[int, int]:
    """First and end place, within a global batch, of the samples that `rank` takes; shares differ by one at most."""
    return batch * rank // world_size, batch * (rank + 1) // world_size
