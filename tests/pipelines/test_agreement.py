"""A sampled page's text layer is compared with OCR: the score is kept, and a layer that says something else is not."""

import hashlib
from pathlib import Path

import pymupdf
import pytest

from pipelines.ocr.agreement import agreement, is_sampled
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain
from tests.pipelines.test_rows import rows

ALL = CorpusSettings(ocr="auto", image_long_side=400, agreement_share=1.0)


def test_agreement_is_the_f1_of_words() -> None:
    assert agreement(["The", "café:", "(open)"], ["the", "cafe", "open"]) == 1
    assert agreement(["a", "b"], ["c"]) == 0
    assert agreement(["a", "a", "b"], ["a", "b", "c"]) == pytest.approx(2 / 3)
    assert agreement([], []) == 1


def test_the_sample_is_a_share_of_pages_and_always_the_same() -> None:
    pages = [hashlib.sha256(str(page).encode()).hexdigest() for page in range(4000)]
    chosen = {page for page in pages if is_sampled(page, 0.1)}
    assert 0.08 < len(chosen) / len(pages) < 0.12
    assert chosen <= {page for page in pages if is_sampled(page, 0.2)}
    assert all(is_sampled(page, 1.0) for page in pages)
    assert not any(is_sampled(page, 0.0) for page in pages)


def test_a_text_layer_that_agrees_is_kept_with_its_score(tmp_path: Path) -> None:
    (row,), _ = rows(tmp_path, plain([TEXT]), 1, ALL)
    assert row["text_source"] == "text-layer"
    assert row["quality"] > 0.9
    (row,), _ = rows(tmp_path, plain([TEXT]), 1, ALL.model_copy(update={"agreement_share": 0.0}))
    assert row["quality"] is None


def test_a_text_layer_of_other_words_than_the_page_shows_gives_way_to_ocr(tmp_path: Path) -> None:
    """Good English over good ink, which no cheap check can doubt."""
    other = "Every winter the birds leave these cold hills and fly beyond distant southern seas. " * 9
    with pymupdf.open() as pdf:
        with pymupdf.open(stream=plain([TEXT])) as shown:
            picture = shown[0].get_pixmap(dpi=150)
        page = pdf.new_page(width=picture.width * 72 / 150, height=picture.height * 72 / 150)
        page.insert_image(page.rect, pixmap=picture)
        page.insert_textbox((40, 40, 360, 560), other[: len(TEXT)], render_mode=3)
        data = pdf.tobytes()
    trusting = ALL.model_copy(update={"agreement_share": 0.0})
    (row,), _ = rows(tmp_path, data, 1, trusting)
    assert row["text_source"] == "text-layer"
    (row,), _ = rows(tmp_path, data, 1, ALL)
    assert row["text_source"] == "tesseract"
    assert row["quality"] < 0.5
    assert row["words"][:4] == TEXT.split()[:4]


def test_the_thresholds_are_in_the_fingerprint_where_they_act() -> None:
    assert ALL.fingerprint() != ALL.model_copy(update={"min_agreement": 0.6}).fingerprint()
    tesseract = CorpusSettings(ocr="tesseract")
    assert tesseract.fingerprint() == tesseract.model_copy(update={"min_agreement": 0.6}).fingerprint()
