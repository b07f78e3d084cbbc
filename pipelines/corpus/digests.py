"""Digests of many rows at once: those of `schema.row_digest`, the canonical JSON put together from its bytes."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.schema import NOT_IN_DIGEST, PAGES, row_digest

COLUMNS = tuple(sorted(name for name in PAGES.names if name not in NOT_IN_DIGEST))
KNOWN = 1 << 11  # numbers below have their text in a table: all of a box, most line ids
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def row_digests(table: pa.Table) -> list[str]:
    """`row_digest` of each row of a table of pages, in its order; column `source` may be absent."""
    digests: list[str] = []
    for batch in table.to_batches(max_chunksize=256):
        if any(batch.column(name).null_count for name in COLUMNS if name != "quality"):
            digests += [row_digest(row) for row in batch.to_pylist()]  # not ours, still to be compared
            continue
        rows = [hashlib.sha256(b"{") for _ in range(batch.num_rows)]
        for place, name in enumerate(COLUMNS):
            key = f'{"," if place else ""}"{name}":'.encode()
            for row, text in zip(rows, _texts(batch.column(name)), strict=True):
                row.update(key + text)
        for row in rows:
            row.update(b"}")
        digests += [row.hexdigest() for row in rows]
    return digests


def _texts(column: pa.Array) -> list[bytes]:
    """Each value of a column as it stands in the canonical JSON."""
    kind = column.type
    if pa.types.is_list(kind):
        offsets = (column.offsets.to_numpy() - column.offsets[0].as_py()).tolist()
        texts = _list_texts(column.flatten())
        return [texts(start, end) for start, end in pairwise(offsets)]
    if pa.types.is_binary(kind):
        return [b'"%b"' % hashlib.sha256(value.as_buffer()).hexdigest().encode() for value in column]
    if pa.types.is_float32(kind):
        return [_encode(None if value is None else value.hex()) for value in column.to_pylist()]
    return [_encode(value) for value in column.to_pylist()]


def _list_texts(flat: pa.Array) -> Callable[[int, int], bytes]:
    """The text of the list of any run of `flat`."""
    kind = flat.type
    if pa.types.is_fixed_size_list(kind):
        boxes = flat.flatten().to_numpy().reshape(-1, kind.list_size)
        if boxes.size and boxes.max() < KNOWN:
            first, inner, last = _tables()
            pieces = np.stack(
                [
                    first[boxes[:, 0]],
                    *(inner[boxes[:, place]] for place in range(1, kind.list_size - 1)),
                    last[boxes[:, -1]],
                ],
                axis=1,
            )
            return lambda start, end: _joined(pieces[start:end])
        return lambda start, end: _encode(boxes[start:end].tolist())
    if pa.types.is_float32(kind) and not flat.null_count:
        # Each distinct float is written once: most confidences of a page are alike.
        distinct, places = np.unique(flat.to_numpy().view(np.uint32), return_inverse=True)
        written = np.array([f'"{float(value).hex()}",'.encode() for value in distinct.view(np.float32)], "S")
        return lambda start, end: _joined(written[places[start:end]])
    if pa.types.is_integer(kind):
        numbers = flat.to_numpy()
        if numbers.size and numbers.min() >= 0 and numbers.max() < KNOWN:
            return lambda start, end: _joined(_tables()[1][numbers[start:end]])
        return lambda start, end: _encode(numbers[start:end].tolist())
    if pa.types.is_float32(kind):
        return lambda start, end: _encode(
            [None if value is None else value.hex() for value in flat[start:end].to_pylist()]
        )
    values = flat.to_pylist()
    return lambda start, end: _encode(values[start:end])


def _joined(pieces: NDArray[np.bytes_]) -> bytes:
    """A list's text, from those of its items with a comma behind each, padded with zero bytes."""
    return b"[" + pieces.tobytes().replace(b"\0", b"")[:-1] + b"]"


@cache
def _tables() -> tuple[NDArray[np.bytes_], NDArray[np.bytes_], NDArray[np.bytes_]]:
    """The numbers below KNOWN as the first, an inner and the last item of a list in a list."""
    numbers = range(KNOWN)
    first, inner, last = ([form % number for number in numbers] for form in (b"[%d,", b"%d,", b"%d],"))
    return np.array(first, "S"), np.array(inner, "S"), np.array(last, "S")


def _encode(value: object) -> bytes:
    return _encoder.encode(value).encode("utf-8")
