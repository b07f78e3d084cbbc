"""A corpus is built from real files with real Ray, accounts for every document, and refuses to destroy anything."""

from pathlib import Path

import pymupdf
import pytest

from pipelines.building.build import build
from pipelines.corpus.reader import Corpus
from pipelines.errors import UsageError
from pipelines.settings import CorpusSettings

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=200, grid_rows=3, grid_columns=2)


def write_documents(folder: Path) -> None:
    folder.mkdir()
    for number in range(3):
        with pymupdf.open() as pdf:
            for page in range(number + 1):
                sheet = pdf.new_page(width=400, height=600)
                sheet.insert_text((40, 60), f"Document {number} page {page}")
                sheet.insert_text((40, 560), "last line")
            pdf.save(folder / f"{number}.pdf")
    (folder / "copy.pdf").write_bytes((folder / "0.pdf").read_bytes())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing here")
    (folder / "note.txt").write_text("not a document")
    with pymupdf.open() as pdf:
        pdf.new_page().insert_text((50, 50), "secret")
        pdf.save(folder / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="x", owner_pw="y")
    with pymupdf.open() as pdf:
        pdf.new_page()
        pdf.save(folder / "blank.pdf")


@pytest.mark.usefixtures("ray_session")
def test_every_document_is_accounted_for(tmp_path: Path) -> None:
    write_documents(tmp_path / "in")
    summary = build([str(tmp_path / "in")], tmp_path / "out", SETTINGS)
    assert (summary.found, summary.taken, summary.filtered, summary.quarantined) == (6, 3, 0, 3)
    assert (summary.pages, summary.quarantined_pages, summary.duplicate, summary.not_pdf) == (6, 1, 1, 1)
    assert set(summary.reasons) <= {"broken", "no-pages", "encrypted", "no-text"}
    assert summary.reasons["encrypted"] == summary.reasons["no-text"] == 1

    corpus = Corpus.open(tmp_path / "out")
    rows = list(corpus.rows())
    first = next(row for row in rows if row["page_count"] == 1)
    assert first["words"] == ["Document", "0", "page", "0", "last", "line"]
    assert first["line_ids"] == [0, 0, 0, 0, 1, 1]
    assert first["grid_cells"] == [0, 0, 0, 0, 4, 4]
    assert first["source"]["uri"] == "0.pdf"
    assert max(first["image_width"], first["image_height"]) == 200
    assert len({row["page_id"] for row in rows}) == 6

    again = build(
        [str(tmp_path / "in")], tmp_path / "again", SETTINGS.model_copy(update={"shard_pages": 2, "workers": 1})
    )
    assert again.corpus_digest == summary.corpus_digest, "equal content whatever the sharding and the parallelism"

    with pytest.raises(UsageError, match="already holds something"):
        build([str(tmp_path / "in")], tmp_path / "out", SETTINGS)
    assert Corpus.open(tmp_path / "out").digest == summary.corpus_digest


def test_a_damaged_shard_is_one_clear_line(tmp_path: Path, ray_session: None) -> None:
    write_documents(tmp_path / "in")
    build([str(tmp_path / "in")], tmp_path / "out", SETTINGS)
    shard = next((tmp_path / "out" / "pages").glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(UsageError, match=shard.name):
        Corpus.open(tmp_path / "out")
