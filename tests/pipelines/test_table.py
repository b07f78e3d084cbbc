"""Rows with arrays become the table that rows with lists become."""

from typing import Any

import numpy as np

from pipelines.corpus.shards import as_table
from pipelines.pages.table import page_table
from pipelines.schema import PAGES

ARRAYS = {"boxes": "<u2", "confidence": "<f4", "line_ids": "<i4", "grid_cells": "u1"}


def row(number: int, words: int) -> dict[str, Any]:
    """A row of the page schema, lists as lists."""
    source = {"uri": f"{number}.pdf", "member": None, "offset": number, "length": None, "corpus": None, "licence": "x"}
    return {
        **{"page_id": f"page {number}", "doc_id": "doc", "source": source, "page_index": number, "page_count": 3},
        **{"width": 612.5, "height": 792.0, "image": b"\xff\xd8", "image_width": 5, "image_height": 7},
        **{"words": [f"word{place}é" for place in range(words)], "boxes": [[1, 2, 3, 1000]] * words},
        **{"confidence": [0.1] * words, "line_ids": list(range(words)), "grid_cells": [255] * words},
        **{"text_source": "text-layer", "engine": "e", "language": "", "quality": None, "fingerprint": "f"},
    }


def test_arrays_and_lists_give_the_same_table() -> None:
    rows = [row(0, 3), row(1, 1), row(2, 400)]
    arrays = [{**one, **{name: np.array(one[name], kind) for name, kind in ARRAYS.items()}} for one in rows]
    assert page_table(arrays).equals(as_table(rows, PAGES))
    assert page_table(rows).equals(as_table(rows, PAGES))
    assert page_table([]).equals(PAGES.empty_table())
    page_table(arrays).validate(full=True)
