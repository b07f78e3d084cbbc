"""The page schema: Arrow types, identities and digests of a corpus (contract, "The corpus folder")."""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1

SOURCE = pa.struct(
    [
        ("uri", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("corpus", pa.string()),
        ("licence", pa.string()),
    ]
)
BOX = pa.list_(pa.uint16(), 4)

PAGES = pa.schema(
    [
        ("page_id", pa.string()),
        ("doc_id", pa.string()),
        ("source", SOURCE),
        ("page_index", pa.int32()),
        ("page_count", pa.int32()),
        ("width", pa.float32()),
        ("height", pa.float32()),
        ("image", pa.binary()),
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
        ("words", pa.list_(pa.string())),
        ("boxes", pa.list_(BOX)),
        ("confidence", pa.list_(pa.float32())),
        ("line_ids", pa.list_(pa.int32())),
        ("grid_cells", pa.list_(pa.uint8())),
        ("text_source", pa.string()),
        ("engine", pa.string()),
        ("language", pa.string()),
        ("quality", pa.float32()),
        ("fingerprint", pa.string()),
    ]
)

QUARANTINE = pa.schema(
    [
        ("doc_id", pa.string()),
        ("source", SOURCE),
        ("page_index", pa.int32()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("seconds", pa.float32()),
        ("command", pa.string()),
    ]
)

# Where a page was found does not change what it is: the same content from another place has the same digest.
NOT_IN_DIGEST = frozenset({"source"})


def page_id(doc_id: str, page_index: int) -> str:
    """Hex sha256 of the ASCII text `doc_id:page_index`: a page's identity, whatever the configuration."""
    return hashlib.sha256(f"{doc_id}:{page_index}".encode("ascii")).hexdigest()


def row_digest(row: Mapping[str, Any]) -> str:
    """Hex sha256 of the canonical JSON of all columns of a page but `source` (binary as sha256, floats as hex)."""
    values = {name: _canonical(row[name], PAGES.field(name).type) for name in PAGES.names if name not in NOT_IN_DIGEST}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def corpus_digest(row_digests: Iterable[str]) -> str:
    """Hex sha256 over the sorted digests of all rows, one a line: equal for equal content whatever the sharding."""
    digest = hashlib.sha256()
    for row in sorted(row_digests):
        digest.update(row.encode("ascii") + b"\n")
    return digest.hexdigest()


def _canonical(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_binary(kind):
        return hashlib.sha256(value).hexdigest()
    if pa.types.is_float32(kind):
        # Through 32 bits first, so that a Python float and the stored value agree.
        return float(struct.unpack("<f", struct.pack("<f", value))[0]).hex()
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_canonical(item, kind.value_type) for item in value]
    if pa.types.is_integer(kind):
        return int(value)
    return str(value)
