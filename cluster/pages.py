"""Pages of a corpus by place: which are trained on, which are held out, and their rows by row group and row."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cluster.order import Place, held_out_bound, is_held_out
from model.sample import COLUMNS
from pipelines.corpus import Corpus
from pipelines.errors import UsageError

CACHED_GROUPS = 96


class PageStore:
    """Random access to a corpus's rows; keeps the row groups used last in memory.

    Args:
        corpus: to read.
        held_out: share of documents kept out of training.

    Attributes:
        training_rows: for each row group of the corpus, in shard order, the rows trained on.
        held_out_places: places (epoch 0) of the held-out pages, in shard order.
        held_out_bound: for `is_held_out`.

    Raises:
        UsageError: nothing is left to train on.
    """

    def __init__(self, corpus: Corpus, held_out: float) -> None:
        self._files: list[tuple[Path, int]] = []
        self._cache: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()
        self.training_rows: list[NDArray[np.int64]] = []
        self.held_out_places: list[Place] = []
        documents = {
            shard.name: pq.read_table(shard.path, columns=["doc_id"])["doc_id"].to_pylist() for shard in corpus.shards
        }
        self.held_out_bound = held_out_bound((doc for docs in documents.values() for doc in docs), held_out)
        for shard in corpus.shards:
            first = 0
            for number, size in enumerate(shard.row_groups):
                chosen = documents[shard.name][first : first + size]
                kept_out = np.array([is_held_out(doc, self.held_out_bound) for doc in chosen], bool)
                group = len(self._files)
                self._files.append((shard.path, number))
                self.training_rows.append(np.flatnonzero(~kept_out))
                self.held_out_places += [Place(0, group, int(row)) for row in np.flatnonzero(kept_out)]
                first += size
        if not sum(map(len, self.training_rows)):
            raise UsageError(
                f"{corpus.path}: no page is left to train on; lower held_out ({held_out}) or add documents"
            )

    def rows(self, places: Sequence[Place]) -> list[dict[str, Any]]:
        """The rows at `places`, with the columns that samples need."""
        return [self._group(place.group)[place.row] for place in places]

    def _group(self, group: int) -> list[dict[str, Any]]:
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        path, number = self._files[group]
        try:
            rows: list[dict[str, Any]] = pq.ParquetFile(path).read_row_group(number, columns=list(COLUMNS)).to_pylist()
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:160]
            raise UsageError(
                f"{path}: row group {number} cannot be read ({text}); run docformer corpus verify"
            ) from None
        self._cache[group] = rows
        while len(self._cache) > CACHED_GROUPS:
            self._cache.popitem(last=False)
        return rows
