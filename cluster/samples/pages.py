"""Rows of the corpora by place, read from their row groups."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.samples.corpora import Corpora
from cluster.samples.order import LEAST_GROUPS, WINDOW_GROUPS, Place
from cluster.samples.page_index import PageIndex
from model.sample import COLUMNS
from pipelines.corpus.reader import open_parquet, refuse_nulls
from pipelines.errors import UsageError
from pipelines.folders.folder import Folder

READERS = 4
FOOTERS = 512  # of shards that are read from in turn: each is asked of its store once
NEXT_WINDOW_GROUPS = 32


class PageStore:
    """Random access to the corpora's rows; keeps the row groups used last in memory, as many as the order mixes.

    Args:
        corpora: to read.
        index: of their pages.

    Attributes:
        index: as given.
    """

    def __init__(self, corpora: Corpora, index: PageIndex) -> None:
        self.index = index
        self._files = [
            (path / "pages", str(shard["name"]), str(shard["sha256"]))
            for path, manifest in zip(corpora.paths, corpora.manifests, strict=True)
            for shard in manifest["shards"]["pages"]
        ]
        # A batch that runs from one window into the next needs groups of both.
        self._kept = WINDOW_GROUPS + len(corpora.paths) * LEAST_GROUPS + NEXT_WINDOW_GROUPS
        self._cache: OrderedDict[int, pa.RecordBatch] = OrderedDict()

    def rows(self, places: Sequence[Place]) -> list[dict[str, Any]]:
        """The rows at `places`, with the columns that samples need; numbers as arrays."""
        return self._rows([(place.group, place.row) for place in places])

    def held_out(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Rows of held-out pages by their numbers, 0 .. `index.held_out_pages` - 1, in the order of shards."""
        return self._rows(self.index.held_out(numbers))

    def _rows(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        rows = []
        # Few at a time: an evaluation may ask for more row groups than fit in memory.
        for first in range(0, len(places), self._kept):
            some = places[first : first + self._kept]
            self._fetch(sorted({group for group, _ in some}))
            rows += [_row(self._cache[group], row) for group, row in some]
        return rows

    def _fetch(self, groups: Sequence[int]) -> None:
        """Have these row groups in memory, as those used last."""
        missing = [group for group in groups if group not in self._cache]
        if len(missing) > 1:
            with ThreadPoolExecutor(READERS) as pool:
                read = list(pool.map(self._read, missing))
        else:
            read = [self._read(group) for group in missing]
        self._cache.update(zip(missing, read, strict=True))
        for group in groups:
            self._cache.move_to_end(group)
        while len(self._cache) > self._kept:
            self._cache.popitem(last=False)

    def _read(self, group: int) -> pa.RecordBatch:
        shard = int(np.searchsorted(self.index.shard_groups, group, side="right")) - 1
        (folder, name, sha256), number = self._files[shard], group - int(self.index.shard_groups[shard])
        try:
            file = open_parquet(folder, name, _footer(folder, name, sha256))
            table = file.read_row_group(number, columns=list(COLUMNS))
        except (OSError, ValueError) as error:
            text = " ".join(str(error).split())[:160]
            raise UsageError(
                f"{folder}/{name}: row group {number} cannot be read ({text}); run docformer corpus verify"
            ) from None
        refuse_nulls(table, f"{folder}/{name}")
        return table.combine_chunks().to_batches()[0]


def _row(rows: pa.RecordBatch, place: int) -> dict[str, Any]:
    # Boxes and labels as Python numbers would cost more than all else that is done to a page.
    return {
        **{name: rows[name][place].as_py() for name in ("page_id", "words", "image")},
        **{name: rows[name][place].values.to_numpy() for name in ("line_ids", "grid_cells")},
        "boxes": rows["boxes"][place].values.flatten().to_numpy().reshape(-1, 4),
    }


@lru_cache(FOOTERS)
def _footer(folder: Folder, name: str, _: str) -> pq.FileMetaData:
    return open_parquet(folder, name).metadata
