"""Parquet shards that appear whole or not at all."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.folders.address import Place, folder_of
from pipelines.folders.local import TEMPORARY as TEMPORARY
from pipelines.folders.local import sync_folder as sync_folder

# Small enough that training reads a few rows without decoding a whole shard of pictures.
ROW_GROUP_PAGES = 32


def write_shard(folder: Place, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, Any]:
    """Write `rows` as `folder/name`, as `write_table` does."""
    return write_table(folder, name, as_table(rows, schema))


def as_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """`rows` as a table; a column that a row has not is null."""
    return pa.Table.from_pylist([{key: row.get(key) for key in schema.names} for row in rows], schema=schema)


def write_table(folder: Place, name: str, table: pa.Table) -> dict[str, Any]:
    """Write `table` as `folder/name`, in place of whatever had the name; return its name, rows and sha256.

    It is put together in memory, so that no more than a shard's bytes ever go out and its digest costs no reading.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=ROW_GROUP_PAGES, compression="zstd")
    data = sink.getvalue()
    folder_of(folder).write(name, data)
    return {"name": name, "rows": len(table), "sha256": hashlib.sha256(data).hexdigest()}


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically and durably."""
    folder_of(path.parent).write_text(path.name, text)


def shard_names(folder: Place) -> list[str]:
    """Names of the complete shards in `folder`, sorted."""
    return [name for name in folder_of(folder).names() if name.startswith("part-") and name.endswith(".parquet")]


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
