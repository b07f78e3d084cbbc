"""A text layer that nobody sees is believed where its words stand on the letters of the scan, and not beside them."""

import json
from pathlib import Path

import pymupdf
import pytest
from pymupdf import mupdf

from pipelines.pages.coverage import BESIDE
from pipelines.pages.hidden import _Images, _Letters
from pipelines.pages.isolation import ReaderLimits
from pipelines.pages.reader import Document

LETTER = (
    "We are writing about the statement of account that you have sent us for the second quarter of the year. The sums "
    "agree with our books but for two invoices, which we have paid on the first of the month, as the enclosed copies "
    "of the transfers show. Please let us know whether they have reached you, and send us a corrected statement. "
)
FACTS = "DOCUMENT TYPE=Amendment REGISTRANT STATUS=Active REGISTRATION DATE=1997-01-02 TERMINATION DATE=N/A ALIAS=N/A "
BODY, CORNER = (20, 20, 380, 480), (12, 12, 240, 140)
SEEN, HIDDEN = 0, 3  # PDF's text rendering modes
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "corpus"


def scan(
    layer: str, letter: str = LETTER * 9, mode: int = HIDDEN, under: bool = False, strips: int = 1, own: bool = False
) -> bytes:
    """A page that is a picture of a letter, in strips, with a text layer over or under it.

    The layer stands in one corner, or, where it is the letter's own, on the letter as OCR would put it.
    """
    with pymupdf.open() as drawn, pymupdf.open() as pdf:
        page, scanned = (document.new_page(width=400, height=500) for document in (drawn, pdf))
        assert page.insert_textbox(BODY, letter, fontsize=8) >= 0
        for layer_turn in (True, False) if under else (False, True):
            if layer_turn:
                place, size = (BODY, 8) if own else (CORNER, 5)
                assert scanned.insert_textbox(place, layer, fontsize=size, render_mode=mode) >= 0
                continue
            for strip in range(strips):
                part = pymupdf.Rect(0, strip * 500 / strips, 400, (strip + 1) * 500 / strips)
                picture = page.get_pixmap(dpi=150, clip=part)
                scanned.insert_image(part, pixmap=picture, keep_proportion=False)
        return bytes(pdf.tobytes())


def verdict(data: bytes) -> tuple[bool, str]:
    header, _ = Document(data, "pdf", [], ReaderLimits().model_dump()).read(0, 768, 80)
    return header["trusted"], header["detail"]


@pytest.mark.parametrize(("mode", "under", "strips"), [(HIDDEN, False, 1), (HIDDEN, False, 5), (SEEN, True, 1)])
@pytest.mark.parametrize(
    ("facts", "letter"), [(FACTS * 10, LETTER * 9), (FACTS * 10, LETTER * 5), (FACTS * 4, LETTER * 3)]
)
def test_facts_about_a_scan_do_not_stand_for_it(facts: str, letter: str, mode: int, under: bool, strips: int) -> None:
    assert verdict(scan(facts, letter, mode, under, strips)) == (False, BESIDE)


@pytest.mark.parametrize(("mode", "under"), [(HIDDEN, False), (SEEN, True), (SEEN, False)])
@pytest.mark.parametrize("missed", [0.0, 0.4])
def test_the_words_of_a_scan_do(mode: int, under: bool, missed: float) -> None:
    """Invisible over it, under it, or printed on it once more; also where the last lines are missing."""
    words = (LETTER * 9).split()
    layer = " ".join(words[: round((1 - missed) * len(words))])
    assert verdict(scan(layer, mode=mode, under=under, own=True)) == (True, "")


def test_what_is_seen_over_a_picture_is_text() -> None:
    """A slide or a flyer with much lettering in its background."""
    assert verdict(scan(FACTS * 10, mode=SEEN)) == (True, "")


@pytest.mark.skipif(not REAL.exists(), reason="needs real documents")
def test_real_forms_with_their_register_entry_as_text_layer() -> None:
    """The first pages of 18 have it; later forms have OCR over the picture, or text under it."""
    for line in (REAL / "manifest.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["category"] == "form-scan-fara":
            document = Document((REAL / record["file"]).read_bytes(), "pdf", [], ReaderLimits().model_dump())
            header, _ = document.read(0, 768, 80)
            assert header["trusted"] == (bool(header["words"]) and header["words"][:2] != ["Document", "Metadata"])


def test_only_an_opaque_picture_hides_what_was_drawn_before_it() -> None:
    whole = mupdf.FzMatrix(400, 0, 0, 500, 0, 0)
    for alpha, seen in ((0.3, (7, 0)), (1.0, (0, 7))):
        letters = _Letters(400, 500)
        letters.shown = 7
        letters.fill_image(None, None, whole, alpha)
        assert (letters.shown, letters.hidden) == seen


def test_black_and_white_scans_cover_the_page_too() -> None:
    images = _Images(400, 500)
    images.fill_image(None, None, mupdf.FzMatrix(400, 0, 0, 125, 0, 0))
    images.fill_image_mask(None, None, mupdf.FzMatrix(800, 0, 0, -250, -100, 250))
    assert images.covered == pytest.approx(0.75)
