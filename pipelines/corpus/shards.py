"""Parquet shards that appear whole or not at all."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.folders.address import folder_of
from pipelines.folders.local import TEMPORARY as TEMPORARY
from pipelines.folders.local import sync_folder as sync_folder

# Small enough that training reads a few rows without decoding a whole shard of pictures.
ROW_GROUP_PAGES = 32


def write_shard(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write `rows` as `folder/name`, as `write_table` does."""
    write_table(folder, name, as_table(rows, schema))


def as_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """`rows` as a table; a column that a row has not is null."""
    return pa.Table.from_pylist([{key: row.get(key) for key in schema.names} for row in rows], schema=schema)


def write_table(folder: Path, name: str, table: pa.Table) -> None:
    """Write `table` as `folder/name`: to a temporary name, synced, then renamed over whatever had the name."""
    temporary = folder / f"{name}.{os.getpid()}{TEMPORARY}"
    with temporary.open("wb") as file:
        pq.write_table(table, file, row_group_size=ROW_GROUP_PAGES, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / name)
    sync_folder(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically and durably."""
    folder_of(path.parent).write_text(path.name, text)


def shard_names(folder: Path) -> list[str]:
    """Names of the complete shards in `folder`, sorted."""
    return sorted(path.name for path in folder.glob("part-*.parquet")) if folder.is_dir() else []


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
