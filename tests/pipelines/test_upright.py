"""A page that lies on its side or stands on its head is read, and stored, as its reader should see it."""

import io
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image

from pipelines.ocr import OcrPage, engine
from pipelines.ocr.upright import Upright, looks_turned, turned
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain
from tests.pipelines.test_ocr import printed, recall
from tests.pipelines.test_rows import ink_share, rows


@pytest.mark.parametrize("name", ["tesseract", "rapidocr"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_page_is_read_in_its_own_frame(name: str, turns: int) -> None:
    picture, truth = printed()
    page = Upright(engine(name)).read(turned(picture, turns))
    assert page.turns == -turns % 4
    assert recall(page, truth) > 0.9
    where = dict(zip(page.words, page.boxes, strict=True))
    assert np.median([np.abs(where[word] - box).max() for word, box in truth if word in where]) < 0.03


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_row_of_a_turned_scan_has_picture_and_boxes_upright(tmp_path: Path, turns: int) -> None:
    with pymupdf.open(stream=plain([TEXT])) as pdf:
        pixmap = pdf[0].get_pixmap(dpi=200)
    scan = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples).rotate(-90 * turns, expand=True)
    out = io.BytesIO()
    scan.save(out, "PNG", dpi=(200, 200))
    (row,), dropped = rows(tmp_path, out.getvalue(), 1, CorpusSettings(ocr="tesseract", image_long_side=600), "png")
    assert not dropped
    assert row["words"][:5] == TEXT.split()[:5]
    assert row["height"] > row["width"]
    assert row["image_height"] > row["image_width"]
    assert Image.open(io.BytesIO(row["image"])).size == (row["image_width"], row["image_height"])
    assert ink_share(row) > 0.8


def test_a_page_looks_turned_by_confidence_or_by_its_lines() -> None:
    flat, tall = [[0.1, 0.1, 0.3, 0.12]], [[0.1, 0.1, 0.12, 0.3]]
    assert not looks_turned(OcrPage.of(["word"] * 8, flat * 8, [0.9] * 8))
    assert looks_turned(OcrPage.of(["word"] * 8, flat * 8, [0.6] * 8))
    assert looks_turned(OcrPage.of(["word"] * 8, tall * 8, [0.9] * 8))
    assert looks_turned(OcrPage.of(["word"] * 2, flat * 2, [0.9] * 2))
