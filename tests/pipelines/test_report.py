"""The corpus report: complete, self-contained, bounded, and deaf to what hostile documents whisper."""

import errno
import hashlib
import io
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.report.corpus_report import choose_pages, save, write_report

HOSTILE = "<script>alert(1)</script>\"'&\x00\u202e\ud800"


@dataclass
class Shard:
    path: Path

    def open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path)


class StoredCorpus:
    """What the report reads of a corpus, over one Parquet shard with the contract's columns."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], quarantine: list[dict[str, Any]]) -> None:
        self.path, self.digest = folder, "d" * 64
        folder.mkdir()
        self.shards = [Shard(folder / "part-0.parquet")]
        clean = [{**row, "words": [w.replace("\ud800", "") for w in row["words"]]} for row in rows]
        pq.write_table(pa.Table.from_pylist(clean), self.shards[0].path, row_group_size=4)
        self._rows, self._quarantine = clean, quarantine
        self.manifest = {
            "schema_version": 1,
            "corpus_digest": self.digest,
            "totals": {"documents": {"found": 1234, "taken": 1200, "filtered": 3, "quarantined": 31}},
            "settings": {"grid_rows": 2, "grid_columns": 3},
            "stages": {"pages": {"items": 90, "unit": "page", "seconds": 4.0}},
        }

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            yield {name: row[name] for name in columns or row}

    def quarantine_rows(self) -> Iterator[dict[str, Any]]:
        return iter(self._quarantine)


def page_row(
    document: int,
    page: int,
    words: Sequence[str] = ("alpha", "beta", "gamma"),
    side: int = 64,
    source: str = "text-layer",
) -> dict[str, Any]:
    doc_id = hashlib.sha256(str(document).encode()).hexdigest()
    rng = random.Random(document)
    noise = Image.frombytes("RGB", (side, side), rng.randbytes(3 * side * side))
    jpeg = io.BytesIO()
    noise.save(jpeg, "JPEG", quality=95)
    count = len(words)
    return {
        "page_id": hashlib.sha256(f"{doc_id}:{page}".encode()).hexdigest(),
        "doc_id": doc_id,
        "source": {"uri": f"{document}.pdf", "member": None, "offset": 0, "length": 1, "corpus": "", "licence": ""},
        "page_index": page,
        "page_count": page + 1,
        "width": 500.0,
        "height": 750.0,
        "image": jpeg.getvalue(),
        "image_width": side,
        "image_height": side,
        "words": list(words),
        "boxes": [[10 * i % 900, 100, 10 * i % 900 + 8, 110] for i in range(count)],
        "confidence": [0.5] * count,
        "line_ids": [i // 2 for i in range(count)],
        "grid_cells": [0] * count,
        "text_source": source,
        "language": "en",
    }


def dropped(detail: str) -> dict[str, Any]:
    return {
        "doc_id": None,
        "source": {"uri": f"{HOSTILE}.pdf", "member": None},
        "page_index": None,
        "stage": "open",
        "reason": "encrypted",
        "detail": detail,
        "seconds": 0.25,
        "command": "docformer corpus build 'x y.pdf' --out again",
    }


class Outline(HTMLParser):
    """Collects the elements and attributes that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def report(tmp_path: Path, rows: list[dict[str, Any]], quarantine: list[dict[str, Any]], pages: int = 24) -> str:
    corpus = StoredCorpus(tmp_path / "corpus", rows, quarantine)
    out = tmp_path / "deep" / "report.html"
    write_report(corpus, out, pages)  # type: ignore[arg-type]
    return out.read_text(encoding="utf-8")


def test_totals_pages_words_and_quarantine_are_all_there(tmp_path: Path) -> None:
    page = report(tmp_path, [page_row(1, 0), page_row(2, 0, source="tesseract")], [dropped("needs a password")])
    outline = Outline(page)
    assert "1,234" in page
    assert "tesseract" in page
    assert "22.5 a second" in page
    words = [a for a in outline.all("rect") if "data-w" in a]
    assert sorted(str(a["data-w"]) for a in words) == sorted(["alpha", "beta", "gamma"] * 2)
    first = next(a for a in words if a["data-w"] == "beta")
    # The overlay is 1,000 wide and has the page's shape: y is stretched by 750 / 500.
    assert (first["x"], first["y"], first["width"], first["data-p"]) == ("10", "150", "8", "0.50")
    assert [a["viewbox"] for a in outline.all("svg")] == ["0 0 1000 1500"] * 2
    assert page.count('class="n"') == 2 * 2 * 3, "each page numbers the cells of the corpus's own grid"
    for expected in ("encrypted", "needs a password", "docformer corpus build &#x27;x y.pdf&#x27; --out again"):
        assert expected in page


def test_nothing_is_fetched_and_only_our_script_may_run(tmp_path: Path) -> None:
    page = report(tmp_path, [page_row(1, 0)], [])
    outline = Outline(page)
    for _, attributes in outline.found:
        for name in ("src", "href", "action", "data", "srcset"):
            assert re.match(r"data:|#|$", attributes.get(name) or ""), f"{name}={attributes.get(name)}"
    assert "@import" not in page
    assert "url(" not in page
    policy = next(a["content"] for a in outline.all("meta") if a.get("http-equiv"))
    assert "default-src 'none'" in str(policy)
    assert "script-src 'sha256-" in str(policy)
    assert len(outline.all("script")) == 1


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    rows = [page_row(1, 0, words=(HOSTILE, "'><img src=x onerror=alert(1)>"))]
    rows[0]["source"]["uri"] = HOSTILE.replace("\ud800", "")
    page = report(tmp_path, rows, [dropped(HOSTILE)])
    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert len(outline.all("img")) == 1
    assert not [a for _, a in outline.found if any(name.startswith("on") for name in a)]
    assert not set(page) & {"\x00", "\u202e"}


def test_the_file_stays_below_ten_megabytes(tmp_path: Path) -> None:
    words = ["w" * 12] * 900
    rows = [page_row(i, 0, words, side=900) for i in range(30)]
    assert sum(len(row["image"]) for row in rows) > 20_000_000
    page = report(tmp_path, rows, [dropped("x" * 200)] * 3000)
    assert len(page.encode()) < 10_000_000
    assert page.count("<figure>") == 24


def test_the_choice_covers_every_text_source_and_many_documents() -> None:
    rows = [page_row(1, i) for i in range(40)] + [page_row(d, 0) for d in range(2, 8)]
    rows += [page_row(99, 0, source="tesseract"), page_row(98, 0, source="rapidocr")]
    chosen = choose_pages(rows, 9)
    by_id = {row["page_id"]: row for row in rows}
    assert {by_id[i]["text_source"] for i in chosen} == {"text-layer", "tesseract", "rapidocr"}
    assert len({by_id[i]["doc_id"] for i in chosen}) == 9
    assert choose_pages(list(reversed(rows)), 9) == chosen, "the order of the shards changes nothing"
    assert len(choose_pages(rows, 1000)) == len(rows)


@pytest.mark.parametrize("quarantine", [[], [dropped("broken")]])
def test_a_corpus_without_pages_still_has_a_report(tmp_path: Path, quarantine: list[dict[str, Any]]) -> None:
    page = report_of_nothing(tmp_path, quarantine)
    assert "The corpus has no page" in page


def report_of_nothing(tmp_path: Path, quarantine: list[dict[str, Any]]) -> str:
    corpus = StoredCorpus(tmp_path / "corpus", [page_row(1, 0)], quarantine)
    corpus._rows = []
    return write_report(corpus, tmp_path / "report.html").read_text()  # type: ignore[arg-type]


def test_a_report_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match=r"'/proc/report.html'"):
        save("<html>", Path("/proc/report.html"))


def test_a_report_on_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save("<html>", tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
