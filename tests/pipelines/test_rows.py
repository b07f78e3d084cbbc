"""Rows of the corpus: the right frame for every rotation, OCR where text fails, a reason for each page left out."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image

from pipelines.pages.reader import seen
from pipelines.pages.rows import PageMaker, quarantine_row
from pipelines.pages.text_layer import TextLayer
from pipelines.quarantine import DropError, Reason
from pipelines.schema import PAGES, QUARANTINE, page_id
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, endless, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=600)


def unit(folder: Path, data: bytes, pages: int, kind: str = "pdf") -> dict[str, Any]:
    path = folder / f"document.{kind}"
    path.write_bytes(data)
    identity = hashlib.sha256(data).hexdigest()
    return {
        **{"uri": path.name, "path": str(path), "size": len(data), "doc_id": identity, "kind": kind},
        **{"pages": pages, "first": 0, "end": pages, "reason": "", "detail": ""},
    }


def rows(folder: Path, data: bytes, pages: int, settings: CorpusSettings = SETTINGS, kind: str = "pdf") -> Any:
    maker = PageMaker(settings)
    try:
        return maker.rows(unit(folder, data, pages, kind))
    finally:
        maker.close()


def ink_share(row: dict[str, Any]) -> float:
    """Share of all dark pixels of the picture that are inside the row's boxes."""
    dark = np.asarray(Image.open(io.BytesIO(row["image"])).convert("L")) < 128
    inside = np.zeros_like(dark)
    scale = np.array([dark.shape[1], dark.shape[0]] * 2) / 1000
    for box in np.array(row["boxes"]) * scale:
        x0, y0, x1, y1 = np.round(box).astype(int)
        inside[max(y0 - 1, 0) : y1 + 2, max(x0 - 1, 0) : x1 + 2] = True
    return float(dark[inside].sum() / dark.sum())


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("cropped", [False, True])
def test_boxes_and_picture_are_in_the_frame_of_the_page_as_shown(tmp_path: Path, rotation: int, cropped: bool) -> None:
    with pymupdf.open() as pdf:
        sheet = pdf.new_page(width=400, height=600)
        sheet.insert_text((60, 100), "upper left")
        sheet.insert_text((250, 500), "lower right")
        if cropped:
            sheet.set_cropbox(pymupdf.Rect(20, 40, 380, 580))
        sheet.set_rotation(rotation)
        data = pdf.tobytes()
    (row,), dropped = rows(tmp_path, data, 1)
    assert not dropped
    tall, wide = (540, 360) if cropped else (600, 400)
    assert (row["width"], row["height"]) == ((wide, tall) if rotation in (0, 180) else (tall, wide))
    assert (row["image_width"] > row["image_height"]) == (rotation in (90, 270))
    assert sorted(row["words"]) == ["left", "lower", "right", "upper"]
    assert ink_share(row) > 0.95
    x, y = row["boxes"][row["words"].index("upper")][:2]
    assert (x < 500, y < 500) == {0: (True, True), 90: (False, True), 180: (False, False), 270: (True, False)}[rotation]


def test_form_fields_are_words_of_the_page(tmp_path: Path) -> None:
    with pymupdf.open() as pdf:
        sheet = pdf.new_page(width=400, height=600)
        sheet.insert_text((40, 60), "Name")
        field = pymupdf.Widget()
        field.field_name, field.field_type, field.field_value = "name", pymupdf.PDF_WIDGET_TYPE_TEXT, "Grubach"
        field.rect = pymupdf.Rect(100, 40, 250, 70)
        sheet.add_widget(field)
        data = pdf.tobytes()
    (row,), _ = rows(tmp_path, data, 1)
    assert row["words"] == ["Name", "Grubach"]


def test_a_row_has_every_column(tmp_path: Path) -> None:
    (first, second), dropped = rows(tmp_path, plain([TEXT, "second page"]), 2)
    assert not dropped
    assert list(first) == PAGES.names
    assert first["page_id"] == page_id(first["doc_id"], 0)
    assert second["words"] == ["second", "page"]
    assert (second["page_index"], second["page_count"], second["text_source"]) == (1, 2, "text-layer")
    assert first["fingerprint"] == SETTINGS.fingerprint()


def scan(text: str) -> bytes:
    """The picture of a printed page as PNG."""
    with pymupdf.open(stream=plain([text])) as pdf:
        return bytes(pdf[0].get_pixmap(dpi=200).tobytes("png"))


def test_auto_reads_by_ocr_what_has_no_text_layer(tmp_path: Path) -> None:
    settings = CorpusSettings(ocr="auto", image_long_side=400)
    (row,), dropped = rows(tmp_path, scan(TEXT), 1, settings, "png")
    assert not dropped
    assert row["text_source"] == "tesseract"
    assert len(set(row["words"]) & set(TEXT.split())) > 0.9 * len(set(TEXT.split()))
    assert ink_share(row) > 0.8
    assert 0.5 < np.mean(row["confidence"]) <= 1
    assert row["engine"].startswith("tesseract 5")


def test_each_page_left_out_has_its_reason(tmp_path: Path) -> None:
    with pymupdf.open(stream=endless(pages=2)) as pdf:
        pdf.new_page(width=400, height=600)
        data = pdf.tobytes()
    limits = SETTINGS.limits.model_copy(update={"page_timeout_s": 1.0})
    taken, dropped = rows(tmp_path, data, 3, SETTINGS.model_copy(update={"limits": limits}))
    assert [row["page_index"] for row in taken] == [1]
    assert [(row["page_index"], row["stage"], row["reason"]) for row in dropped] == [
        (0, "read", "timeout"),
        (2, "label", "no-text"),
    ]
    assert dropped[0]["seconds"] > 1.9, "once more before it is given up"
    assert list(dropped[0]) == QUARANTINE.names
    assert str(tmp_path) in dropped[0]["command"]


def test_text_that_is_not_what_the_page_shows_is_left_out_without_ocr(tmp_path: Path) -> None:
    with pymupdf.open() as pdf:
        pdf.new_page().insert_textbox((40, 40, 500, 700), TEXT * 3, render_mode=3)  # invisible
        data = pdf.tobytes()
    taken, dropped = rows(tmp_path, data, 1)
    assert not taken
    assert dropped[0]["reason"] == "untrusted-text"


def test_a_file_that_changes_during_the_build_is_not_read(tmp_path: Path) -> None:
    work = unit(tmp_path, plain([TEXT] * 3), 3)
    Path(work["path"]).write_bytes(plain(["other"]))
    maker = PageMaker(SETTINGS)
    taken, dropped = maker.rows(work)
    maker.close()
    assert not taken
    assert [(row["page_index"], row["reason"]) for row in dropped] == [(page, "unreadable") for page in range(3)]
    Path(work["path"]).unlink()
    assert maker.rows(work)[1][0]["reason"] == "unreadable"


def test_an_error_of_the_program_costs_one_page_and_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(words: list[str]) -> str:
        if "second" in words:
            raise ZeroDivisionError("no such thing")
        return "en"

    monkeypatch.setattr("pipelines.pages.rows.identify", fail)
    taken, dropped = rows(tmp_path, plain([TEXT, "second page", TEXT]), 3)
    assert [row["page_index"] for row in taken] == [0, 2]
    assert [(row["page_index"], row["stage"], row["reason"]) for row in dropped] == [(1, "label", "internal")]
    assert dropped[0]["detail"] == "ZeroDivisionError: no such thing"


def layer(*found: tuple[float, float, float, float, str]) -> TextLayer:
    """Words and places; each one's direction is its number."""
    places = np.array([word[:4] for word in found], np.float64)
    return TextLayer([word[4] for word in found], places, np.arange(len(found), dtype=np.int8))


def test_words_off_the_page_are_not_seen() -> None:
    found = [(*box, str(number)) for number, box in enumerate([(-30, 5, 29, 9), (-30, 5, 31, 9), (390, 0, 412, 9)])]
    words, boxes, sideways = seen(layer(*found, (5, -9, 9, -1, "above"), (5, 590, 9, 612, "below")), 400, 600)
    assert words == ["1"]
    assert boxes.tolist() == [[0, 5, 31, 9]]
    assert sideways.tolist() == [1]


def test_half_of_a_surrogate_pair_is_no_letter() -> None:
    """A font map may give one, and no file can hold it."""
    found = layer((0, 0, 9, 9, "a\ud835b"), (20, 0, 29, 9, "\U0001d400"))
    assert seen(found, 400, 600)[0] == ["a?b", "\U0001d400"]


def test_a_quarantine_row_names_a_command_for_a_path_with_spaces(tmp_path: Path) -> None:
    work = {"uri": "a b.pdf", "path": "/in/a b.pdf", "size": 1, "doc_id": ""}
    row = quarantine_row(work, None, "open", DropError(Reason.BROKEN, "two\nlines"), 0.5, "tesseract")
    assert row["command"] == "docformer corpus build '/in/a b.pdf' --out again --ocr tesseract"
    assert (row["doc_id"], row["detail"]) == (None, "two lines")
