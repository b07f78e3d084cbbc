"""A part of a corpus: its facts, that it is written once, what is read again of it, and the account of its pages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.building.assemble import as_runs
from pipelines.building.changes import Touches
from pipelines.building.output import BUILD, prepare, read_marker
from pipelines.building.update import _touched
from pipelines.corpus.facts import decided, facts_of
from pipelines.corpus.manifest import Origin
from pipelines.corpus.parts import Part, write_part
from pipelines.corpus.reader import MANIFEST
from pipelines.corpus.tally import Tally, account
from pipelines.errors import JobError
from pipelines.folders.address import folder_of
from pipelines.pages.isolation import ReaderLimits
from pipelines.pages.table import page_table
from pipelines.settings import CorpusSettings
from tests.pipelines.test_table import row

NOTHING = np.empty(0, np.uint64)


def page(number: int, **values: Any) -> dict[str, Any]:
    return {**row(number, 2), **values}


def failed(number: int, stage: str, reason: str) -> dict[str, Any]:
    return {"doc_id": "doc", "page_index": number, "stage": stage, "reason": reason}


def written(folder: Path, rows: list[dict[str, Any]], quarantine: list[dict[str, Any]]) -> Part:
    part, pages = Part(folder_of(folder), "part-a.parquet"), page_table(rows)
    write_part(part, pages, quarantine, decided(facts_of(pages, NOTHING), np.full(len(rows), "", object), pages))
    return part


def test_facts_are_those_of_each_page() -> None:
    rows = [page(0, confidence=[0.5, 1.0]), row(1, 0), page(2, confidence=[0.25, 0.25]), page(3, quality=0.5)]
    whole = page_table(rows)
    for pages, of in ((whole, rows), (whole.slice(2), rows[2:])):
        facts = facts_of(pages, NOTHING).to_pylist()
        assert [fact["page_index"] for fact in facts] == [one["page_index"] for one in of]
        means = [float(np.mean(one["confidence"])) if one["words"] else 0.0 for one in of]
        assert [fact["confidence"] for fact in facts] == pytest.approx(means)
        assert [fact["scored"] for fact in facts] == [one["quality"] is not None for one in of]


def test_a_part_that_is_there_stays(tmp_path: Path) -> None:
    """Two workers may do one task when Ray has lost sight of the first; a manifest may have the first one's digests."""
    part = written(tmp_path, [page(0)], [])
    listed = part.listed()
    written(tmp_path, [page(1), page(2)], [failed(3, "read", "timeout")])
    assert part.listed() == listed
    assert part.pages()["page_index"].to_pylist() == [0]
    assert len(part.quarantine()) == 0


@pytest.mark.parametrize(
    ("touches", "again"),
    [
        ({Touches.FILTERS, Touches.LABELS}, set()),
        ({Touches.FAILED}, {5, 6, 7}),
        ({Touches.OCR_PAGES}, {1, 2, 4, 6}),
        ({Touches.OCR_PAGES, Touches.FAILED}, {1, 2, 4, 5, 6, 7}),
    ],
)
def test_what_a_change_touches_is_read_again(tmp_path: Path, touches: set[Touches], again: set[int]) -> None:
    taken = [page(0), page(1, text_source="tesseract"), page(2, quality=0.9), page(3)]
    lost = [failed(4, "ocr", "poor-ocr"), failed(5, "read", "timeout"), failed(6, "ocr", "timeout")]
    lost += [failed(7, "open", "too-large"), failed(8, "read", "page-broken")]
    part = written(tmp_path, taken, lost)
    assert _touched([part], touches) == {("doc", number) for number in again}


def test_single_pages_are_read_in_runs_of_neighbours() -> None:
    pages = {("b", 5), ("a", 0), ("a", 7), ("a", 1), ("a", 6), ("a", 3), ("b", 4)}
    assert as_runs(pages) == {"a": [(0, 2), (3, 4), (6, 8)], "b": [(4, 6)]}


def test_a_corpus_that_is_to_be_overwritten_is_none_from_the_start(tmp_path: Path) -> None:
    out, part = folder_of(tmp_path), written(tmp_path, [page(0)], [])
    for kept in (True, False):
        out.write_text(MANIFEST, "{}")
        prepare(out, {"settings": {}}, BUILD, keep=kept)
        assert out.exists(MANIFEST) == part.done == kept
    assert read_marker(out, BUILD) == {"settings": {}}


@pytest.mark.parametrize(("taken", "quarantined"), [(1, 1), (2, 2), (0, 4)])
def test_a_page_in_no_column_or_in_two_is_found(taken: int, quarantined: int) -> None:
    tally = Tally()
    tally.taken["a"], tally.quarantined["a"] = taken, quarantined
    with pytest.raises(JobError, match="of 3 pages are accounted for"):
        account([{"doc_id": "a", "uri": "a.pdf", "pages": 3, "reason": ""}], tally)
    tally.quarantined["a"] = 3 - taken
    counts = account([{"doc_id": "a", "uri": "a.pdf", "pages": 3, "reason": ""}], tally)
    assert counts == {"found": 1, "taken": int(taken > 0), "filtered": 0, "quarantined": int(not taken)}


def test_names_of_shards_follow_from_settings_and_version_and_in_an_update_from_limits() -> None:
    plain, tight = CorpusSettings(), CorpusSettings(limits=ReaderLimits(max_pages=5))

    def key(settings: CorpusSettings, version: int, kept_out: str = "") -> str:
        return Origin(settings, [], kept_out, [], version).key

    assert key(plain, 1) == key(tight, 1)
    assert len({key(plain, 1), key(plain, 2), key(tight, 2), key(plain, 3), key(plain, 1, "exam")}) == 5
