"""Text layers whose producers print twice, lie about heights, or write up and down the page."""

from pathlib import Path

import numpy as np
import pymupdf
import pytest
from pymupdf import mupdf

from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.pages.text_layer import TextLayer, _is_too_tall, text_layer

TEXT = "The sums agree with our books but for two invoices which we have paid."
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "corpus" / "pdf"


def layer_of(page: pymupdf.Page) -> TextLayer:
    return text_layer(mupdf.fz_new_display_list_from_page(page.this))


@pytest.mark.parametrize("letter_by_letter", [False, True])
def test_what_is_printed_twice_is_read_once(letter_by_letter: bool) -> None:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=500, height=300)
        for line in range(5):
            x, y = 20.0, 40.0 + 20 * line
            for part in TEXT if letter_by_letter else [TEXT]:
                for shift in (0.0, 0.3, 0.6):
                    page.insert_text((x + shift, y), part, fontsize=10)
                x += pymupdf.get_text_length(part, fontsize=10)
        assert layer_of(page).words == TEXT.split() * 5


def test_words_that_follow_themselves_stay() -> None:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=500, height=300)
        page.insert_text((20, 40), "very very small small . . . . " * 3, fontsize=10)
        assert layer_of(page).words == (["very", "very", "small", "small", ".", ".", ".", "."]) * 3


def lines_of(height: float, pitch: float) -> list[tuple[float, float, float, float, str, int, int, int]]:
    return [(20.0, 20 + pitch * row, 60.0, 20 + pitch * row + height, "word", 0, row, 0) for row in range(6)]


@pytest.mark.parametrize(("height", "tall"), [(12, False), (18, False), (30, True), (60, True)])
def test_a_font_is_too_tall_where_lines_reach_into_the_next(height: float, tall: bool) -> None:
    found = lines_of(height, pitch=13)
    assert _is_too_tall(found, np.array([word[:4] for word in found])) == tall


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the shared documents")
def test_a_real_font_that_claims_to_be_five_lines_high() -> None:
    (file,) = REAL.glob("*NCT06154122_Prot_000.pdf")
    with pymupdf.open(file) as pdf:
        heights = np.diff(layer_of(pdf[3]).places[:, 1::2])
    assert np.median(heights) < 15


@pytest.mark.parametrize(("rotate", "run"), [(90, -1), (270, 1)])
def test_words_up_and_down_the_page_are_known(rotate: int, run: int) -> None:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=500, height=500)
        page.insert_text((60, 40), TEXT, fontsize=10)
        page.insert_text((30, 250), "Confirmed cases per year", fontsize=10, rotate=rotate)
        layer = layer_of(page)
        data = pdf.tobytes()
    assert [word for word, way in zip(layer.words, layer.sideways, strict=True) if way] == [
        "Confirmed",
        "cases",
        "per",
        "year",
    ]
    assert set(layer.sideways.tolist()) == {0, run}
    with PageReader(ReaderLimits(), 768, 80) as reader:
        reader.open(data, "pdf")
        assert np.array_equal(reader.read(0).sideways, layer.sideways)


def test_a_page_that_is_shown_turned_has_level_words() -> None:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=500, height=500)
        page.insert_text((250, 400), TEXT[:30], fontsize=10, rotate=90)
        page.set_rotation(90)
        assert not layer_of(page).sideways.any()
