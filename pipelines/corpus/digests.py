"""Digests of many rows at once: the same as `schema.row_digest`, without turning every number into an object twice."""

import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.schema import NOT_IN_DIGEST, PAGES, row_digest

COLUMNS = tuple(name for name in PAGES.names if name not in NOT_IN_DIGEST)


def row_digests(table: pa.Table) -> list[str]:
    """`row_digest` of each row of a table of pages, in its order; column `source` may be absent."""
    digests: list[str] = []
    for batch in table.to_batches(max_chunksize=256):
        if any(batch.column(name).null_count for name in COLUMNS if name != "quality"):
            digests += [row_digest(row) for row in batch.to_pylist()]  # not ours, still to be compared
        else:
            columns = {name: _canonical(batch.column(name)) for name in COLUMNS}
            for place in range(batch.num_rows):
                values = {name: column[place] for name, column in columns.items()}
                text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                digests.append(hashlib.sha256(text.encode("utf-8")).hexdigest())
    return digests


def _canonical(column: pa.Array) -> list[Any]:
    """The column's values as they stand in the canonical JSON."""
    kind = column.type
    if pa.types.is_list(kind):
        offsets = (column.offsets.to_numpy() - column.offsets[0].as_py()).tolist()
        flat = _canonical(column.flatten())
        return [flat[start:end] for start, end in pairwise(offsets)]
    if pa.types.is_fixed_size_list(kind):
        values: list[Any] = column.flatten().to_numpy().reshape(-1, kind.list_size).tolist()
        return values
    if pa.types.is_binary(kind):
        return [hashlib.sha256(value.as_buffer()).hexdigest() for value in column]
    if pa.types.is_float32(kind):
        return _hexadecimal(column)
    if pa.types.is_integer(kind):
        integers: list[Any] = column.to_numpy().tolist()
        return integers
    strings: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return strings


def _hexadecimal(column: pa.Array) -> list[str | None]:
    """Each distinct float is written once: most confidences of a page are alike."""
    if column.null_count:
        return [None if value is None else float(value).hex() for value in column.to_pylist()]
    distinct, places = np.unique(column.to_numpy().view(np.uint32), return_inverse=True)
    texts = np.array([float(value).hex() for value in distinct.view(np.float32)], object)
    written: list[str | None] = texts[places].tolist()
    return written
