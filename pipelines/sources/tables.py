"""Rows of a table file, one at a time: CSV, JSON lines or Parquet, on any store, text ones also gzipped."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.errors import UsageError
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.places import open_ranges


def table_rows(table: SourceFile, limits: SourceLimits) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number (from 1) and values by column name of each row of a .csv, .jsonl, .json (lines) or .parquet file.

    Raises:
        UsageError: it cannot be read or is not what its name says.
    """
    number = 0
    try:
        for number, row in enumerate(_rows(table, limits), 1):
            if not isinstance(row, dict):
                raise UsageError(f"{table.path}: row {number} cannot be read (not an object of names and values)")
            yield number, row
    except OSError as error:
        raise UsageError(f"{table.path}: cannot be read ({error.strerror or error})") from None
    except (csv.Error, ValueError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{table.path}: row {number + 1} cannot be read ({error}); correct it or leave it out"
        ) from None


def _rows(table: SourceFile, limits: SourceLimits) -> Iterator[Any]:
    name = table.name.lower()
    with open_ranges(table.path, limits) as file:
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(file).iter_batches(batch_size=4096):
                yield from batch.to_pylist()
            return
        plain: Any = gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file
        text = io.TextIOWrapper(plain, "utf-8-sig", newline="" if ".csv" in name else None)
        yield from csv.DictReader(text) if ".csv" in name else (json.loads(line) for line in text if line.strip())
