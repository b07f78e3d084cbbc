"""Where every page of a run's corpora is and which pages are trained on: a few bytes a page, made once for a run."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.samples.corpora import Corpora
from cluster.samples.held_out import HASHES, document_hash, held_out_bound
from pipelines.corpus.reader import READERS, Shard, open_shard
from pipelines.errors import UsageError
from pipelines.folders.local import LocalFolder

Ints = NDArray[np.int64]

VERSION = 1
ARRAYS = ("corpus_groups", "shard_groups", "sizes", "training", "kept_out")


@dataclass(frozen=True)
class PageIndex:
    """The row groups of all corpora of a run, numbered through in the order of corpora and shards.

    P pages in G row groups in S shards of C corpora.

    Attributes:
        corpus_groups: int64 [C + 1], first row group of each corpus, then G.
        shard_groups: int64 [S + 1], first row group of each shard, then G.
        sizes: int32 [G], pages of each row group.
        training: int32 [G], pages of each row group that are trained on.
        kept_out: uint8 [ceil(P / 8)], a bit a page from the highest of each byte on, set where the page is held out.
        held_out_bound: for `held_out.is_held_out`.
    """

    corpus_groups: Ints
    shard_groups: Ints
    sizes: NDArray[np.int32]
    training: NDArray[np.int32]
    kept_out: NDArray[np.uint8]
    held_out_bound: int

    @classmethod
    def of_sizes(cls, sizes: Sequence[int] | NDArray[Any]) -> "PageIndex":
        """The index of one corpus of one shard with row groups of these sizes, nothing held out."""
        counts = np.asarray(sizes, np.int32)
        whole = np.array([0, len(counts)], np.int64)
        return cls(whole, whole, counts, counts, np.zeros(-(-int(counts.sum(dtype=np.int64)) // 8), np.uint8), 0)

    def training_rows(self, group: int) -> Ints:
        """The rows of a row group that are trained on."""
        return np.flatnonzero(~self._kept_out(group))

    def held_out(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """Row group and row of held-out pages by their numbers, 0 .. `held_out_pages` - 1, in the order of shards."""
        first = _running_sum(self.sizes - self.training)
        found = []
        for number in numbers:
            group = int(np.searchsorted(first, number, side="right")) - 1
            found.append((group, int(np.flatnonzero(self._kept_out(group))[number - first[group]])))
        return found

    @property
    def held_out_pages(self) -> int:
        """Pages kept out of training."""
        return int((self.sizes - self.training).sum(dtype=np.int64))

    @cached_property
    def _first_page(self) -> Ints:
        return _running_sum(self.sizes)

    def _kept_out(self, group: int) -> NDArray[np.bool_]:
        first, end = int(self._first_page[group]), int(self._first_page[group + 1])
        bits = np.unpackbits(self.kept_out[first // 8 : -(-end // 8)])
        return bits[first % 8 :][: end - first].astype(bool)

    def save(self, path: Path, key: str) -> None:
        """Write the index to a file that appears whole or not at all; `key` says what it was made of."""
        bound = np.array(self.held_out_bound, np.uint64)
        with LocalFolder(path.parent).writing(path.name) as file:
            np.savez(file, key=np.array(key), bound=bound, **{name: getattr(self, name) for name in ARRAYS})

    @classmethod
    def load(cls, path: Path, key: str) -> "PageIndex | None":
        """The index in a file, None where there is none, a damaged one, or one made of something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["key"]) != key:
                    return None
                return cls(**{name: file[name] for name in ARRAYS}, held_out_bound=int(file["bound"]))
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
            return None


def index_key(corpora: Corpora, held_out: float) -> str:
    """What an index follows from, as hex sha256."""
    made_of = [[entry["digest"], entry["shards"]] for entry in corpora.fingerprints().values()]
    return hashlib.sha256(json.dumps([VERSION, made_of, held_out]).encode()).hexdigest()


def find_index(corpora: Corpora, held_out: float, cache: Path) -> PageIndex:
    """The index of `corpora` as stored in the file `cache`, or made anew (and not stored).

    Raises:
        UsageError: a shard is missing or damaged, or a corpus has no page left to train on.
    """
    return PageIndex.load(cache, index_key(corpora, held_out)) or make_index(corpora, held_out)


def make_index(corpora: Corpora, held_out: float) -> PageIndex:
    """Read the footer of every shard and, if anything is to be held out, its column of documents."""
    entries = [
        (path, entry)
        for path, manifest in zip(corpora.paths, corpora.manifests, strict=True)
        for entry in manifest["shards"]["pages"]
    ]
    bound = max(1, int(held_out * HASHES)) if held_out else 0
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda each: _ShardPages.read(open_shard(*each), bound), entries))
        if held_out:
            lowest, highest = min(each.lowest for each in read), max(each.highest for each in read)
            wanted, bound = bound, held_out_bound(lowest, highest, held_out)
            if bound != wanted:  # few documents: the share asked for would take none or all of them
                read = list(pool.map(lambda each: _ShardPages.read(open_shard(*each), bound), entries))
    shard_groups = _running_sum([len(each.shard.row_groups) for each in read])
    shards_of_corpus = [len(manifest["shards"]["pages"]) for manifest in corpora.manifests]
    index = PageIndex(
        corpus_groups=shard_groups[_running_sum(shards_of_corpus)],
        shard_groups=shard_groups,
        sizes=np.array([size for each in read for size in each.shard.row_groups], np.int32),
        training=np.concatenate([each.training for each in read]).astype(np.int32),
        kept_out=_joined([(each.kept_out, each.shard.rows) for each in read]),
        held_out_bound=bound,
    )
    for path, (first, end) in zip(corpora.paths, pairwise(index.corpus_groups), strict=True):
        if not index.training[first:end].any():
            raise UsageError(f"{path}: no page is left to train on; lower held_out ({held_out}) or add documents")
    return index


@dataclass(frozen=True)
class _ShardPages:
    """One shard's part of the index: its pages kept out as packed bits, and the range of its documents' hashes."""

    shard: Shard
    kept_out: NDArray[np.uint8]
    training: Ints
    lowest: int
    highest: int

    @classmethod
    def read(cls, shard: Shard, bound: int) -> "_ShardPages":
        sizes = np.array(shard.row_groups, np.int64)
        if not bound or not shard.rows:
            return cls(shard, np.zeros(-(-shard.rows // 8), np.uint8), sizes, HASHES, 0)
        documents = shard.open().read(["doc_id"])["doc_id"].combine_chunks().dictionary_encode()
        hashes = [document_hash(doc_id) for doc_id in documents.dictionary.to_pylist()]
        below = np.array([value < bound for value in hashes], bool)[documents.indices.to_numpy()]
        kept_out = np.diff(_running_sum(below)[_running_sum(sizes)])
        return cls(shard, np.packbits(below), sizes - kept_out, min(hashes), max(hashes))


def _running_sum(counts: Sequence[int] | NDArray[Any]) -> Ints:
    """0, then the sum of the first count, of the first two, ... of all: int64 [one more]."""
    sums = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=sums[1:])
    return sums


def _joined(parts: Sequence[tuple[NDArray[np.uint8], int]]) -> NDArray[np.uint8]:
    """Packed bits of all parts (bits, how many) in one row without gaps."""
    total = sum(count for _, count in parts)
    joined = np.zeros(-(-total // 8) + 1, np.uint8)
    start = 0
    for bits, count in parts:
        place, shift = divmod(start, 8)
        wide = bits.astype(np.uint16) << (8 - shift)
        joined[place : place + len(bits)] |= (wide >> 8).astype(np.uint8)
        joined[place + 1 : place + 1 + len(bits)] |= (wide & 255).astype(np.uint8)
        start += count
    return joined[: -(-total // 8)]
