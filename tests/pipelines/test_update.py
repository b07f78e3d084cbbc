"""A corpus takes in new sources and changed settings, reads only what they touch, and equals a fresh build."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.cli import main
from pipelines.building.build import build
from pipelines.building.changes import TOUCHES
from pipelines.building.update import update
from pipelines.corpus.diff import diff
from pipelines.corpus.reader import Corpus
from pipelines.corpus.verify import verify
from pipelines.errors import UsageError
from pipelines.settings import FILTERS, NOT_IN_FINGERPRINT, CorpusSettings
from tests.pipelines.hostile import TEXT, encrypted, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=100, shard_pages=8)

pytestmark = pytest.mark.usefixtures("ray_session")


def changed(**values: Any) -> CorpusSettings:
    return CorpusSettings.model_validate({**SETTINGS.model_dump(), **values})


def draw(folder: Path, names: range, pages: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        texts = [f"{TEXT} {name} {page} " + "once more " * (name + page) for page in range(pages)]
        (folder / f"{name:03}.pdf").write_bytes(plain(texts))
    return folder


def same(a: Path, b: Path) -> None:
    assert not diff(a, b)
    assert Corpus.open(a).digest == Corpus.open(b).digest
    assert verify(a) == verify(b) == []
    first, second = Corpus.open(a).manifest, Corpus.open(b).manifest
    assert first["totals"] == second["totals"]
    assert first["configuration_digest"] == second["configuration_digest"]


def files(corpus: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in corpus.rglob("*.parquet")}


def test_new_documents_are_read_and_old_ones_are_not(tmp_path: Path) -> None:
    old, new = draw(tmp_path / "old", range(30)), draw(tmp_path / "new", range(30, 40))
    (old / "locked.pdf").write_bytes(encrypted("x"))
    (new / "copy.pdf").write_bytes((old / "000.pdf").read_bytes())
    (new / "note.txt").write_text("no document")
    corpus, whole = tmp_path / "corpus", tmp_path / "whole"
    build([str(old)], corpus, SETTINGS)
    build([str(old), str(new)], whole, SETTINGS)
    kept = files(corpus / "pages")
    old.rename(tmp_path / "away")  # nothing of it can be read
    summary = update(corpus, [str(new)], SETTINGS)
    assert summary.read_pages == 30, "ten documents of three pages"
    assert (summary.found, summary.taken, summary.quarantined, summary.duplicate, summary.not_pdf) == (41, 40, 1, 1, 1)
    assert kept.items() <= files(corpus / "pages").items(), "shards of earlier pages stay as they are"
    same(corpus, whole)
    assert Corpus.open(corpus).manifest["version"] == 2
    (tmp_path / "away").rename(old)
    again = update(corpus, [str(old), str(new)], SETTINGS)
    assert (again.read_pages, again.revised_pages) == (0, 0), "all of it is known"
    assert Corpus.open(corpus).manifest["version"] == 2
    assert sorted(path.name for path in corpus.iterdir()) == ["index", "manifest.json", "pages", "quarantine"]


def test_a_damaged_corpus_is_refused_and_left_alone(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    build([str(draw(tmp_path / "old", range(4)))], corpus, SETTINGS)
    before = (corpus / "manifest.json").read_bytes()
    lost = sorted((corpus / "pages").glob("*.parquet"))[-1]
    lost.unlink()
    with pytest.raises(UsageError, match=f"{lost.name}: missing; restore it, or build the corpus again"):
        update(corpus, [str(draw(tmp_path / "new", range(4, 6)))], SETTINGS)
    assert (corpus / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["pages", "quarantine", "index/pages", "index/files"])
def test_damage_is_not_passed_on_under_a_new_digest(tmp_path: Path, kind: str) -> None:
    """A shard that can be read and is not what was written: an update would sign whatever it holds."""
    source, corpus = draw(tmp_path / "in", range(4)), tmp_path / "corpus"
    few = len(f"{TEXT} 0 0".split()) + 4  # of some pages
    build([str(source)], corpus, changed(max_words=few))
    shard = sorted((corpus / kind).glob("*.parquet"))[0]
    table = pq.read_table(shard)
    name = {"pages": "engine", "quarantine": "detail", "index/pages": "text_key", "index/files": "reason"}[kind]
    value = pa.nulls(len(table), table.schema.field(name).type)
    place = table.schema.get_field_index(name)
    pq.write_table(table.set_column(place, table.schema.field(name), value), shard)
    with pytest.raises(UsageError, match=f"{kind}/{shard.name}: not the shard that the manifest lists"):
        update(corpus, [], changed(max_words=few, grid_rows=8), tmp_path / "new")
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_new_labels_come_from_stored_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw(tmp_path / "in", range(6))
    corpus, new = tmp_path / "corpus", tmp_path / "new"
    build([str(source)], corpus, SETTINGS)
    build([str(source)], tmp_path / "whole", changed(grid_rows=8, grid_columns=8, grid_anchor="centre"))
    before = files(corpus)
    source.rename(tmp_path / "away")
    flags = ["--grid-rows", "8", "--grid-columns", "8", "--grid-anchor", "centre", "--json"]
    assert main(["corpus", "update", str(corpus), "--out", str(new), *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["read_pages"], result["revised_pages"]) == (0, 18)
    same(new, tmp_path / "whole")
    assert files(corpus) == before
    assert verify(corpus) == []
    assert diff(corpus, new).columns.keys() == {"grid_cells", "fingerprint"}
    assert main(["corpus", "update", str(corpus), *flags]) == 0
    same(corpus, new)
    assert main(["corpus", "update", str(corpus), "--out", str(new), *flags]) == 2
    assert main(["corpus", "update", str(corpus), "--grid-rows", "99"]) == 2
    assert main(["corpus", "update", str(corpus), "--resume"]) == 2
    error = capsys.readouterr().err
    assert "already holds something" in error
    assert "at most 256" in error
    assert "nothing to resume" in error


def test_settings_that_touch_pages_read_them_again(tmp_path: Path) -> None:
    source = draw(tmp_path / "in", range(4))
    corpus = tmp_path / "corpus"
    build([str(source)], corpus, SETTINGS)
    build([str(source)], tmp_path / "whole", changed(jpeg_quality=30))
    assert update(corpus, [], changed(jpeg_quality=30)).read_pages == 12
    same(corpus, tmp_path / "whole")
    source.rename(tmp_path / "away")
    with pytest.raises(UsageError, match=r"000.pdf: not there.*4 such files"):
        update(corpus, [], changed(jpeg_quality=40))
    same(corpus, tmp_path / "whole")
    # No page was read by OCR: the settings of OCR change the fingerprint and touch no page.
    summary = update(corpus, [], changed(jpeg_quality=30, ocr_dpi=100))
    assert (summary.read_pages, summary.revised_pages) == (0, 12)
    assert verify(corpus) == []


def test_what_was_quarantined_for_a_limit_is_read_again_under_another(tmp_path: Path) -> None:
    source = draw(tmp_path / "in", range(3))
    (source / "long.pdf").write_bytes(plain([f"{TEXT} {page}" for page in range(9)]))
    tight = {"limits": {"max_pages": 5}}
    corpus = tmp_path / "corpus"
    assert build([str(source)], corpus, changed(**tight)).quarantined == 1
    build([str(source)], tmp_path / "whole", SETTINGS)
    summary = update(corpus, [], SETTINGS)
    assert (summary.read_pages, summary.quarantined) == (9, 0)
    same(corpus, tmp_path / "whole")


def test_pages_that_ocr_sees_smaller_are_read_again(tmp_path: Path) -> None:
    small = {"limits": {"max_raster_pixels": 250_000}}
    assert changed(**small).fingerprint() == SETTINGS.fingerprint()  # no page is drawn for OCR
    source, corpus = draw(tmp_path / "in", range(1), pages=2), tmp_path / "corpus"
    reads = {"ocr": "tesseract", "min_ocr_confidence": 0.0}
    build([str(source)], corpus, changed(**reads))
    build([str(source)], tmp_path / "whole", changed(**reads, **small))
    assert diff(corpus, tmp_path / "whole").columns["fingerprint"] == 2
    assert update(corpus, [], changed(**reads, **small)).read_pages == 2
    same(corpus, tmp_path / "whole")


def test_a_changed_file_is_a_further_document(tmp_path: Path) -> None:
    source = draw(tmp_path / "in", range(2))
    corpus = tmp_path / "corpus"
    build([str(source)], corpus, SETTINGS)
    (source / "000.pdf").write_bytes(plain(["another text altogether"]))
    os.utime(source / "000.pdf", ns=(1, 1))
    summary = update(corpus, [str(source)], SETTINGS)
    assert (summary.found, summary.read_pages, summary.pages) == (3, 1, 7)
    assert verify(corpus) == []


def test_filters_are_decided_again_without_reading_where_the_pages_are_stored(tmp_path: Path) -> None:
    source = draw(tmp_path / "in", range(5))
    (source / "twin.pdf").write_bytes(plain([f"{TEXT} 0 0 ", "quite another page of words " * 4]))
    corpus, strict = tmp_path / "corpus", changed(min_words=20, drop_duplicates=True)
    build([str(source)], corpus, SETTINGS)
    build([str(source)], tmp_path / "strict", strict)
    build([str(source)], tmp_path / "loose", changed(drop_duplicates=True))
    source.rename(tmp_path / "away")
    summary = update(corpus, [], strict)
    assert summary.read_pages == 0
    assert summary.filter_reasons["few-words"] == 4
    same(corpus, tmp_path / "strict")
    with pytest.raises(UsageError, match="not there, and pages of it must be read again"):
        update(corpus, [], changed(drop_duplicates=True))
    same(corpus, tmp_path / "strict")
    (tmp_path / "away").rename(source)
    summary = update(corpus, [], changed(drop_duplicates=True))
    assert summary.read_pages == 3, "the pages that were left out, but not the one that is a duplicate now"
    same(corpus, tmp_path / "loose")


def test_pages_to_keep_out_are_looked_for_also_among_those_left_out_before(tmp_path: Path) -> None:
    """A near duplicate that was left out is an evaluation page now, and the page that it is like is not quite."""
    source, corpus = tmp_path / "in", tmp_path / "corpus"
    source.mkdir()
    words = random.Random(1).choices(TEXT.split(), k=150)
    texts = {name: " ".join([*words, *([f"{name}0"] * 6)]) for name in "ab"}
    for name, text in texts.items():
        (source / f"{name}.pdf").write_bytes(plain([text]))
    assert build([str(source)], corpus, changed(near_duplicates=0.8)).filter_reasons == {"near-duplicate": 1}
    (kept,) = Corpus.open(corpus).rows(["words"])
    (tmp_path / "exam.txt").write_text(texts["a" if "b0" in kept["words"] else "b"])
    exam = changed(near_duplicates=0.8, keep_out=[str(tmp_path / "exam.txt")], keep_out_share=0.99)
    build([str(source)], tmp_path / "whole", exam)
    assert update(corpus, [], exam).filter_reasons == {"evaluation-overlap": 1}
    same(corpus, tmp_path / "whole")


def test_each_setting_says_what_it_touches() -> None:
    fields = set(CorpusSettings.model_fields)
    assert fields - TOUCHES.keys() == set(), "name what a new setting touches in pipelines/building/changes.py"
    versions = {f"versions.{name}" for name in SETTINGS.row_settings()["versions"]}  # type: ignore[attr-defined]
    assert TOUCHES.keys() >= versions
    assert fields >= FILTERS
    assert not FILTERS & NOT_IN_FINGERPRINT
