"""A part: the pages, the quarantine and the facts of one piece of work, in three shards of one name.

The facts are written last. Their being there says that the work is done, and their file names the other two with their
digests, so that nobody has to read those again to list them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.facts import FACTS
from pipelines.corpus.reader import not_listed, open_parquet, refuse_nulls
from pipelines.corpus.shards import as_table, write_table
from pipelines.folders.folder import Folder
from pipelines.schema import PAGES, QUARANTINE

PAGE_SHARDS, QUARANTINE_SHARDS, FACT_SHARDS = "pages", "quarantine", "index/pages"
FILE_SHARDS = "index/files"
KINDS = (PAGE_SHARDS, QUARANTINE_SHARDS, FACT_SHARDS, FILE_SHARDS)
_LISTED = b"docformer.shards"


@dataclass(frozen=True)
class Part:
    """A part by its name and the corpus folder it is in."""

    folder: Folder
    name: str

    @property
    def done(self) -> bool:
        """Whether it was written whole."""
        return self.folder.exists(f"{FACT_SHARDS}/{self.name}")

    def facts(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its facts."""
        return self._read(FACT_SHARDS, columns)

    def pages(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its pages, in the order of their facts; raises UsageError when they are not those that were written."""
        if columns is None or PAGE_SHARDS not in self.listed():
            return self._whole(PAGE_SHARDS, PAGES)
        pages = self._read(PAGE_SHARDS, columns)
        refuse_nulls(pages, f"{self.folder / PAGE_SHARDS}/{self.name}")
        return pages

    def quarantine(self) -> pa.Table:
        """Its quarantine; raises as `pages`."""
        return self._whole(QUARANTINE_SHARDS, QUARANTINE)

    def _whole(self, kind: str, schema: pa.Schema) -> pa.Table:
        listed = self.listed()
        if kind not in listed:
            return schema.empty_table()
        data = (self.folder / kind).read(self.name)
        # What is read whole is passed on, under a digest of its own that would vouch for it.
        if hashlib.sha256(data).hexdigest() != listed[kind]["sha256"]:
            raise not_listed(f"{self.folder / kind}/{self.name}")
        return pq.ParquetFile(pa.BufferReader(data)).read()

    def _read(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        return open_parquet(self.folder / kind, self.name).read(columns and list(columns))

    def listed(self) -> dict[str, dict[str, Any]]:
        """Name, rows and sha256 of its shard of pages and its shard of quarantine, where it has one."""
        return _listed(open_parquet(self.folder / FACT_SHARDS, self.name))

    def account(self, columns: Sequence[str]) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
        """Its facts, and its lines of the manifest: name, rows and sha256 of each shard; by one reading."""
        data = (self.folder / FACT_SHARDS).read(self.name)
        file = pq.ParquetFile(pa.BufferReader(data))
        own = {"name": self.name, "rows": file.metadata.num_rows, "sha256": hashlib.sha256(data).hexdigest()}
        return file.read(list(columns)), {**_listed(file), FACT_SHARDS: own}


def write_part(part: Part, pages: pa.Table, quarantine: Sequence[Mapping[str, Any]], facts: pa.Table) -> None:
    """Write a part; a shard without rows is not written, but that of facts always is.

    A part that is there stays: Ray may do a task twice at once when it has lost sight of the first worker.
    """
    if part.done:
        return
    listed = {}
    dropped = as_table(quarantine, QUARANTINE)
    for kind, table in ((QUARANTINE_SHARDS, dropped), (PAGE_SHARDS, pages)):
        if len(table):
            listed[kind] = write_table(part.folder / kind, part.name, table)
        else:
            part.folder.remove(f"{kind}/{part.name}")  # of an earlier try that was cut off
    metadata = {_LISTED: json.dumps(listed, sort_keys=True).encode()}
    write_table(part.folder / FACT_SHARDS, part.name, facts.cast(FACTS).replace_schema_metadata(metadata))


def _listed(facts: pq.ParquetFile) -> dict[str, dict[str, Any]]:
    return dict(json.loads(facts.schema_arrow.metadata[_LISTED]))
