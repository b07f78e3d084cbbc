"""Rows of pages as a table: what is an array in a row goes into its column as it is, not number by number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.schema import BOX, PAGES


def page_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `PageMaker.rows`, their lists as arrays or lists, as a table of the page schema."""
    columns = [_column([row[field.name] for row in rows], field.type) for field in PAGES]
    return pa.Table.from_arrays(columns, schema=PAGES)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), _flat(values, kind.value_type), type=kind)


def _flat(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([word for value in values for word in value], kind)
    number = kind.value_type if kind == BOX else kind
    parts = [np.asarray(value, number.to_pandas_dtype()).ravel() for value in values]
    numbers = pa.array(np.concatenate(parts) if parts else [], number)
    return pa.FixedSizeListArray.from_arrays(numbers, type=kind) if kind == BOX else numbers
