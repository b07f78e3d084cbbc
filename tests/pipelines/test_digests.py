"""The digests of many rows are those of each row."""

import math
import random
from typing import Any

import pyarrow as pa
import pytest

from pipelines.corpus.digests import KNOWN, row_digests
from pipelines.corpus.shards import as_table
from pipelines.schema import PAGES, corpus_digest, row_digest
from tests.pipelines.test_table import row


def varied(pick: random.Random, number: int, top: int) -> dict[str, Any]:
    """A row whose numbers go up to `top`."""
    words = pick.choice([0, 1, 30])
    odd = ["é", '"', "\\", "\u2028", "\x7f", "漢字", "a\nb", "0", "x" * 99]
    return {
        **row(number, words),
        "words": [pick.choice(odd) for _ in range(words)],
        "boxes": [[pick.randint(0, min(top, 65535)) for _ in range(4)] for _ in range(words)],
        "confidence": [pick.choice([0.0, -0.0, 1.0, 0.1, 1e-40, math.inf]) for _ in range(words)],
        "line_ids": [pick.randint(-1, top) for _ in range(words)],
        "quality": pick.choice([None, 0.25, 1.0]),
    }


@pytest.mark.parametrize("top", [9, KNOWN - 1, KNOWN, 1 << 30])
def test_digests_of_many_rows(top: int) -> None:
    pick = random.Random(top)
    table = as_table([varied(pick, number, top) for number in range(300)], PAGES)
    each = [row_digest(one) for one in table.to_pylist()]
    assert len(set(each)) == 300
    assert row_digests(table) == each
    assert row_digests(table.slice(7, 250)) == each[7:257], "of a part of a table"
    assert row_digests(pa.concat_tables([table, table.slice(0, 5)])) == each + each[:5]
    assert row_digests(PAGES.empty_table()) == []


def test_a_row_with_nulls_has_a_digest() -> None:
    rows = [{**row(0, 2), "language": None}, {**row(1, 2), "confidence": [None, 0.5]}]
    table = as_table(rows, PAGES)
    assert row_digests(table) == [row_digest(one) for one in table.to_pylist()]


@pytest.mark.parametrize("column", PAGES.names)
def test_every_column_counts_but_where_the_page_was_found(column: str) -> None:
    first, second = row(0, 2), row(7, 2)
    other = {**row(0, 2), column: second[column]}
    if second[column] == first[column]:
        wider = {"boxes": [[1, 2, 3, 4]] * 2, "confidence": [0.2] * 2, "grid_cells": [3, 4], "line_ids": [5, 5]}
        plain = {"quality": 0.5, "page_count": 4, "width": 1.0, "height": 1.0, "image": b"x", "words": ["a", "b"]}
        other[column] = {**wider, **plain}.get(column, 9 if column.startswith("image") else "other")
    assert (row_digest(other) == row_digest(first)) == (column == "source")


def test_a_corpus_digest_does_not_depend_on_the_order_of_its_rows() -> None:
    assert corpus_digest(["b", "a", "c"]) == corpus_digest(["c", "b", "a"])
    assert len({corpus_digest(rows) for rows in ([], ["a"], ["a", "a"], ["a", "b"], ["ab"])}) == 5
