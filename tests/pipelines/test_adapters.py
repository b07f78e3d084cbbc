"""Each adapter on a tiny corpus in the layout of the real one."""

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pymupdf
import pytest
from PIL import Image

from pipelines.building.listing import list_files
from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.pages.rows import PageMaker, quarantine_row
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from pipelines.sources.adapters import ADAPTERS
from pipelines.sources.inventory import Record, inspect
from pipelines.sources.provided import provided_words, split_lines
from tests.pipelines.archives import tarred, zipped
from tests.pipelines.hostile import plain

PAGE = {"width": 400.0, "height": 600.0}


def records(folder: Path, adapter: str, **more: Any) -> dict[str, Record]:
    settings = CorpusSettings(adapter=adapter, ocr="text-layer", image_long_side=100, **more)
    with PageReader(ReaderLimits(), 100, 80) as reader:
        return {f"{file.uri}:{file.member}": inspect(file, reader) for file in list_files([str(folder)], settings)}


def table(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def test_the_setting_names_every_adapter() -> None:
    assert set(get_args(CorpusSettings.model_fields["adapter"].annotation)) == set(ADAPTERS)


def test_safedocs(tmp_path: Path) -> None:
    folder = tmp_path / "zipfiles" / "0000-0999"
    folder.mkdir(parents=True)
    (tmp_path / "metadata").mkdir()
    good, other = plain(["good"]), plain(["other"])
    (folder / "0000.zip").write_bytes(zipped({"0000000.pdf": good, "0000001.pdf": other}))
    (folder / "0001.zip").write_bytes(zipped({"0001000.pdf": b"%PDF- broken"}))
    blank = {"url_id": "1", "url": "https://x.org/a.pdf", "cc_truncated": "", "fetched_status": "ADDED_TO_REPOSITORY"}
    rows = [
        {**blank, "file_name": "0000000.pdf", "fetched_digest": hashlib.sha256(good).hexdigest()},
        {**blank, "file_name": "0000001.pdf", "fetched_digest": hashlib.sha256(good).hexdigest()},
        {**blank, "file_name": "", "fetched_digest": ""},
    ]
    (tmp_path / "metadata" / "cc-provenance-20230303.csv.gz").write_bytes(gzip.compress(table(rows)))
    found = records(tmp_path, "safedocs")
    reasons = {name.rpartition(":")[2]: record["reason"] for name, record in found.items() if record["kind"]}
    assert reasons == {"0000000.pdf": "", "0000001.pdf": "digest-mismatch", "0001000.pdf": "broken"}
    assert {record["corpus"] for record in found.values()} == {"cc-main-2021-31-pdf-untruncated"}
    assert found["zipfiles/0000-0999/0000.zip:0000000.pdf"]["pages"] == 1
    assert found["metadata/cc-provenance-20230303.csv.gz:"]["kind"] == ""


def test_govdocs(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("L", (40, 40), 255).save(picture, "JPEG")
    mixed = {"000/000001.pdf": plain(), "000/000002.doc": b"\xd0\xcf\x11\xe0", "000/000003.jpg": picture.getvalue()}
    (tmp_path / "000.zip").write_bytes(zipped({**mixed, "000/000004.html": b"<html>", "000/000005.gz": b"\x1f\x8b"}))
    found = records(tmp_path, "govdocs1")
    assert {name.rpartition(".")[2]: record["kind"] for name, record in found.items()} == {
        **{"pdf": "pdf", "doc": "", "jpg": "jpeg", "html": "", "gz": ""}
    }
    assert {record["corpus"] for record in found.values()} == {"govdocs1"}


def test_arxiv(tmp_path: Path) -> None:
    members = {"2001/2001.00001v1.pdf": plain(["new"]), "0001/astro-ph0001001.pdf": plain(["old"])}
    (tmp_path / "arXiv_pdf_2001_001.tar").write_bytes(tarred(members))
    lines = [
        {"id": "2001.00001", "license": "http://creativecommons.org/licenses/by/4.0/"},
        {"id": "astro-ph/0001001", "license": None},
    ]
    (tmp_path / "arxiv-metadata-oai-snapshot.json").write_text("\n".join(map(json.dumps, lines)))
    found = records(tmp_path, "arxiv")
    new, old = (found[f"arXiv_pdf_2001_001.tar:{name}"] for name in members)
    assert (new["licence"], old["licence"]) == ("http://creativecommons.org/licenses/by/4.0/", "")
    assert (new["corpus"], new["pages"]) == ("arxiv", 1)


def test_pmc(tmp_path: Path) -> None:
    folder = tmp_path / "oa_package" / "08" / "e0"
    folder.mkdir(parents=True)
    picture = io.BytesIO()
    Image.new("L", (40, 40), 255).save(picture, "JPEG")
    package = {"a.pdf": plain(["article"]), "a.nxml": b"<article/>", "f1.jpg": picture.getvalue()}
    data = tarred({f"PMC13900/{name}": body for name, body in package.items()}, mode="w:gz")
    (folder / "PMC13900.tar.gz").write_bytes(data)
    row = {
        "File": "oa_package/08/e0/PMC13900.tar.gz",
        "Article Citation": "Breast Cancer Res. 2001",
        "Accession ID": "",
    }
    row |= {"Accession ID": "PMC13900", "Last Updated (YYYY-MM-DD HH:MM:SS)": "", "PMID": "11250746"}
    (tmp_path / "oa_file_list.csv").write_bytes(table([{**row, "License": "CC BY"}]))
    found = records(tmp_path, "pmc-oa")
    taken = {name: record for name, record in found.items() if record["kind"]}
    assert list(taken) == ["oa_package/08/e0/PMC13900.tar.gz:PMC13900/a.pdf"], "figures are no documents"
    assert [(record["licence"], record["corpus"]) for record in taken.values()] == [("CC BY", "pmc-oa")]


def pdfa_page(words: list[str], boxes: list[list[float]]) -> dict[str, Any]:
    lines = {"text": [" ".join(words)], "bbox": [boxes[0]] if boxes else [], "score": [1.0], "word_slice": [[0, 2]]}
    given = {"text": words, "bbox": boxes, "score": [0.9] * len(words), "line_pos": [[0, 0]] * len(words)}
    return {"words": given, "lines": lines, "images_bbox": [], "images_bbox_no_text_overlap": []}


def rows_of(record: Record, adapter: str, **more: Any) -> tuple[list[Any], list[Any]]:
    maker = PageMaker(CorpusSettings(adapter=adapter, ocr="text-layer", image_long_side=100, **more))
    try:
        return maker.rows({**record, "first": 0, "end": record["pages"]})
    finally:
        maker.close()


def test_pdfa_words_become_provided(tmp_path: Path) -> None:
    good = pdfa_page(["given", "words"], [[0.1, 0.2, 0.2, 0.05], [0.35, 0.2, 0.2, 0.05]])
    outside = pdfa_page(["given"], [[0.1, 0.2, 2.0, 0.05]])
    samples = [
        ("0000001.json", json.dumps({"pages": [good, outside]}).encode()),
        ("0000001.pdf", plain(["own text", "own text"])),
        ("0000002.pdf", plain(["own words"])),
        ("0000002.json", json.dumps({"pages": [good, good]}).encode()),
        ("0000003.json", b'{"pages": '),
        ("0000003.pdf", plain(["third one"])),
    ]
    (tmp_path / "pdfa-eng-train-0000.tar").write_bytes(tarred(samples))
    found = {name: record for name, record in records(tmp_path, "pdfa-eng-wds").items() if record["kind"]}
    assert len(found) == 3, "the JSON files are no documents"
    taken, dropped = rows_of(found["pdfa-eng-train-0000.tar:0000001.pdf"], "pdfa-eng-wds")
    assert not dropped
    assert [(row["text_source"], row["words"]) for row in taken] == [
        ("provided", ["given", "words"]),
        ("text-layer", ["own", "text"]),  # its box is outside of the page: read like any other
    ]
    assert taken[0]["boxes"].tolist() == [[100, 200, 300, 250], [350, 200, 550, 250]]
    assert taken[0]["engine"] == "pdfa-eng-wds"
    assert np.allclose(taken[0]["confidence"], 0.9)
    assert taken[0]["source"]["corpus"] == "pdfa-eng-wds"
    for name, words in (("0000002", ["own", "words"]), ("0000003", ["third", "one"])):
        (row,), _ = rows_of(found[f"pdfa-eng-train-0000.tar:{name}.pdf"], "pdfa-eng-wds")
        assert (row["text_source"], row["words"]) == ("text-layer", words), "another number of pages, or damaged"
    drop = DropError(Reason.BROKEN)
    command = quarantine_row(found["pdfa-eng-train-0000.tar:0000001.pdf"], 0, "open", drop, 0, "auto")["command"]
    assert command.endswith("pdfa-eng-train-0000.tar::0000001.pdf --out again --ocr auto --adapter pdfa-eng-wds")
    (row, _), _ = rows_of(found["pdfa-eng-train-0000.tar:0000001.pdf"], "pdfa-eng-wds", provided_words=False)
    assert row["text_source"] == "text-layer"


def test_idl_lines_are_split_into_words(tmp_path: Path) -> None:
    tiff = io.BytesIO()
    Image.new("1", (300, 400), 1).save(tiff, "TIFF")
    corners = [{"X": 0.1, "Y": 0.2}] * 4
    page = {"text": ["PHILIP MORRIS"], "bbox": [[0.1, 0.2, 0.65, 0.05]], "poly": [corners], "score": [99.5]}
    pages = json.dumps({"pages": [page]}).encode()
    with pymupdf.open() as pdf:
        pdf.new_page(width=400, height=600)
        blank = pdf.tobytes()
    samples = [("klpb0135.json", pages), ("klpb0135.ocr", b"PHILIP"), ("klpb0135.pdf", blank)]
    samples += [("klpb0135.tif", tiff.getvalue()), ("lone0001.tif", tiff.getvalue()), ("lone0001.json", pages)]
    (tmp_path / "idl-train-00000.tar").write_bytes(tarred(samples))
    found = {name: record for name, record in records(tmp_path, "idl-wds").items() if record["kind"]}
    assert {name.partition(":")[2]: record["kind"] for name, record in found.items()} == {
        "klpb0135.pdf": "pdf",
        "lone0001.tif": "tiff",
    }
    for record in found.values():
        (row,), dropped = rows_of(record, "idl-wds")
        assert not dropped
        assert (row["words"], row["text_source"], row["engine"]) == (["PHILIP", "MORRIS"], "provided", "idl-wds")
        assert np.allclose(row["boxes"], [[100, 200, 400, 250], [450, 200, 750, 250]], atol=1)
        assert row["line_ids"].tolist() == [0, 0]
        assert np.allclose(row["confidence"], 0.995)


@pytest.mark.parametrize(
    ("text", "boxes", "score"),
    [
        ([], [], []),
        (None, None, None),
        (["a"], [[0, 0, 1]], [1]),
        (["a"], [[0, 0, 0.5, 0.5]], [1, 1]),
        (["a", "b"], [[0, 0, 0.5, 0.5]], None),
        (["a"], [[0, 0, -0.5, 0.5]], None),
        (["a"], [[0, 0, 1.5, 0.5]], None),
        (["a"], [[0, 0, float("nan"), 0.5]], None),
        (["a"], [["x", 0, 1, 1]], None),
        (["a"], [[0, 0, 10**400, 1]], None),
        (["a"], [[0, 0, 0.1, 0.1]], [-1]),
        ([1], [[0, 0, 0.1, 0.1]], None),
        ("a", [[0, 0, 0.1, 0.1]], None),
    ],
)
def test_words_that_cannot_be_trusted_are_none(text: Any, boxes: Any, score: Any) -> None:
    assert provided_words(text, boxes, score) is None
    assert split_lines(text, boxes, score) is None


def test_fingerprints_know_whether_words_are_provided() -> None:
    plain_print = CorpusSettings().fingerprint()
    assert CorpusSettings(adapter="safedocs").fingerprint() == plain_print
    assert CorpusSettings(adapter="idl-wds", provided_words=False).fingerprint() == plain_print
    assert CorpusSettings(adapter="idl-wds").fingerprint() != plain_print
    assert CorpusSettings(adapter="idl-wds").fingerprint() != CorpusSettings(adapter="pdfa-eng-wds").fingerprint()
