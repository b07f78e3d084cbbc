"""Facts about each page that was read, taken or not: all that a filter asks, and the digest of the row."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.corpus.digests import row_digests
from pipelines.filters.keep_out import overlap
from pipelines.filters.shingles import word_hashes
from pipelines.filters.signature import PLACES, signature, text_key

# One row a page. `overlap` is null where it was never computed with the present keep_out pages; `filter` is the reason
# why the page was left out, empty when it was taken; `digest` is its row's, null when it was left out.
FACTS = pa.schema(
    [
        ("doc_id", pa.string()),
        ("page_index", pa.int32()),
        ("words", pa.int32()),
        ("confidence", pa.float32()),
        ("language", pa.string()),
        ("text_source", pa.string()),
        ("scored", pa.bool_()),
        ("text_key", pa.binary(16)),
        ("signature", pa.binary(4 * PLACES)),
        ("overlap", pa.float32()),
        ("filter", pa.string()),
        ("digest", pa.string()),
    ]
)


def facts_of(pages: pa.Table, kept_out: NDArray[np.uint64]) -> pa.Table:
    """The facts of a table of pages, in its order; `filter` is empty and `digest` null."""
    rows: list[Mapping[str, Any]] = []
    names = ["doc_id", "page_index", "words", "language", "text_source", "quality"]
    for batch in pages.select([*names, "confidence"]).to_batches():
        confidence = batch["confidence"]
        starts = (confidence.offsets.to_numpy() - confidence.offsets[0].as_py()).tolist()
        each = confidence.flatten().to_numpy().astype(np.float64)
        for row, (start, end) in zip(batch.select(names).to_pylist(), pairwise(starts), strict=True):
            hashes = word_hashes(row["words"])
            rows.append(
                {
                    **{name: row[name] for name in ("doc_id", "page_index", "language", "text_source")},
                    "words": len(row["words"]),
                    "confidence": float(np.mean(each[start:end])) if row["words"] else 0.0,
                    "scored": row["quality"] is not None,
                    "text_key": text_key(hashes),
                    "signature": signature(hashes).astype("<u4").tobytes(),
                    "overlap": overlap(hashes, kept_out),
                    "filter": "",
                    "digest": None,
                }
            )
    return pa.Table.from_pylist(rows, schema=FACTS)


def decided(facts: pa.Table, reasons: NDArray[np.object_], pages: pa.Table) -> pa.Table:
    """`facts` with the filters' reasons, and the digests of `pages`, the rows of those without one in their order."""
    digests = np.full(len(facts), None, object)
    digests[reasons == ""] = row_digests(pages)
    return replaced(replaced(facts, "filter", pa.array(reasons, pa.string())), "digest", pa.array(digests, pa.string()))


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """`table` with other values in column `name`."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), values)
