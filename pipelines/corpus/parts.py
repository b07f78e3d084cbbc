"""A part: the pages, the quarantine and the facts of one piece of work, in three shards of one name.

The facts are written last. Their being there says that the work is done, and their file names the other two with their
digests, so that nobody has to read those again to list them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.facts import FACTS
from pipelines.corpus.shards import as_table, file_sha256, write_table
from pipelines.schema import PAGES, QUARANTINE

PAGE_SHARDS, QUARANTINE_SHARDS, FACT_SHARDS = "pages", "quarantine", "index/pages"
FILE_SHARDS = "index/files"
KINDS = (PAGE_SHARDS, QUARANTINE_SHARDS, FACT_SHARDS, FILE_SHARDS)
_LISTED = b"docformer.shards"


@dataclass(frozen=True)
class Part:
    """A part by its name and the corpus folder it is in."""

    folder: Path
    name: str

    @property
    def done(self) -> bool:
        """Whether it was written whole."""
        return (self.folder / FACT_SHARDS / self.name).is_file()

    def facts(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its facts."""
        return pq.read_table(self.folder / FACT_SHARDS / self.name, columns=columns and list(columns))

    def pages(self) -> pa.Table:
        """Its pages, in the order of their facts."""
        file = self.folder / PAGE_SHARDS / self.name
        return pq.read_table(file) if PAGE_SHARDS in self.listed() else PAGES.empty_table()

    def quarantine(self) -> pa.Table:
        """Its quarantine."""
        file = self.folder / QUARANTINE_SHARDS / self.name
        return pq.read_table(file) if QUARANTINE_SHARDS in self.listed() else QUARANTINE.empty_table()

    def listed(self) -> dict[str, dict[str, Any]]:
        """Name, rows and sha256 of its shard of pages and its shard of quarantine, where it has one."""
        schema = pq.read_schema(self.folder / FACT_SHARDS / self.name)
        return dict(json.loads(schema.metadata[_LISTED]))

    def entries(self) -> dict[str, dict[str, Any]]:
        """The same with the shard of facts: the part's lines of the manifest."""
        return {**self.listed(), FACT_SHARDS: entry(self.folder / FACT_SHARDS / self.name)}


def write_part(part: Part, pages: pa.Table, quarantine: Sequence[Mapping[str, Any]], facts: pa.Table) -> None:
    """Write a part; a shard without rows is not written, but that of facts always is."""
    listed = {}
    dropped = as_table(quarantine, QUARANTINE)
    for kind, table in ((QUARANTINE_SHARDS, dropped), (PAGE_SHARDS, pages)):
        file = part.folder / kind / part.name
        if len(table):
            write_table(file.parent, part.name, table)
            listed[kind] = {"name": part.name, "rows": len(table), "sha256": file_sha256(file)}
        else:
            file.unlink(missing_ok=True)  # of an earlier try that was cut off
    metadata = {_LISTED: json.dumps(listed, sort_keys=True).encode()}
    write_table(part.folder / FACT_SHARDS, part.name, facts.cast(FACTS).replace_schema_metadata(metadata))


def entry(path: Path) -> dict[str, Any]:
    """Name, rows and sha256 of a shard."""
    return {"name": path.name, "rows": pq.read_metadata(path).num_rows, "sha256": file_sha256(path)}
