"""Line ids and reading order of generated pages are those with which they were drawn: upright, turned, skewed."""

import random
from collections.abc import Iterator
from functools import cache

import numpy as np
import pymupdf
import pytest
from numpy.typing import NDArray

from pipelines.labels.geometry import _steps_right, deskew, estimate_skew, quantise
from pipelines.labels.page_labels import label_page
from pipelines.synthetic import KINDS, PageTruth
from pipelines.synthetic.pdf import pdf_bytes
from pipelines.synthetic.scans import turned

SEEDS = range(14)
DEGREES = (-2.0, -0.9, 0.3, 2.0)


@cache
def pages(kind: str) -> tuple[PageTruth, ...]:
    return tuple(sheet.truth() for seed in SEEDS for sheet in KINDS[kind](random.Random(seed)))


def labels(page: PageTruth, boxes: NDArray[np.float32], words: tuple[str, ...]) -> list[tuple[str, list[int], int]]:
    """Word, box and line of each word as the project labels them when they come in any order; sorted."""
    order = np.random.default_rng(0).permutation(len(words))
    shuffled = [words[place] for place in order]
    ones = np.ones(len(words), np.float32)
    labelled = label_page(shuffled, boxes[order], page.width, page.height, ones, 4, 4, "top-left")
    return sorted(zip(labelled.words, labelled.boxes.tolist(), labelled.line_ids.tolist(), strict=True))


def truth(
    page: PageTruth, boxes: NDArray[np.float32], words: tuple[str, ...], lines: NDArray[np.int32]
) -> list[tuple[str, list[int], int]]:
    return sorted(zip(words, quantise(boxes, page.width, page.height).tolist(), lines.tolist(), strict=True))


def text_layer(kind: str) -> Iterator[tuple[PageTruth, NDArray[np.float32], tuple[str, ...], NDArray[np.int32]]]:
    """Each page's truth, with the boxes and words read from its PDF and the true line of each."""
    for seed in SEEDS:
        sheets = KINDS[kind](random.Random(seed))
        with pymupdf.open(stream=pdf_bytes(sheets), filetype="pdf") as pdf:
            for page, sheet in zip(pdf, sheets, strict=True):
                found = page.get_text("words")
                drawn = sheet.truth()
                boxes = np.array([tuple(pymupdf.Rect(box[:4]) * page.rotation_matrix) for box in found], np.float32)
                nearest = np.abs(boxes[:, None] - drawn.boxes).max(axis=2).argmin(axis=1)
                yield drawn, boxes, tuple(box[4] for box in found), drawn.line_ids[nearest]


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_what_the_contract_defines(kind: str) -> None:
    for page in pages(kind):
        top, bottom = page.boxes[:, 1], page.boxes[:, 3]
        overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
        share = overlap / np.minimum((bottom - top)[:, None], bottom - top)
        assert np.array_equal(share >= 0.5, page.line_ids[:, None] == page.line_ids)
        tops = [top[page.line_ids == line].min() for line in range(page.line_ids.max() + 1)]
        assert tops == sorted(tops)


@pytest.mark.parametrize("kind", KINDS)
def test_lines_of_the_text_layer(kind: str) -> None:
    rotations = set()
    for page, boxes, words, lines in text_layer(kind):
        assert labels(page, boxes, words) == truth(page, boxes, words, lines)
        rotations.add(page.rotation)
    if kind in ("invoice", "form", "table", "letter", "article"):
        assert rotations > {0}, "the seeds give no turned page"


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("kind", KINDS)
def test_lines_of_skewed_scans(kind: str, degrees: float) -> None:
    for flat in pages(kind):
        page = turned(flat, degrees, (flat.width, flat.height))
        slope = estimate_skew(page.boxes)
        assert np.degrees(np.arctan(slope)) == pytest.approx(degrees, abs=0.1)
        assert labels(page, page.boxes, page.words) == truth(page, page.boxes, page.words, flat.line_ids)


@pytest.mark.parametrize("degrees", [0.0, *DEGREES])
def test_reading_order_of_two_columns(degrees: float) -> None:
    for flat in pages("article"):
        page = turned(flat, degrees, (flat.width, flat.height)) if degrees else flat
        ones = np.ones(len(page.words), np.float32)
        labelled = label_page(list(page.words), page.boxes, page.width, page.height, ones, 4, 4, "top-left")
        assert tuple(labelled.words) == page.words


@pytest.mark.parametrize("degrees", DEGREES)
def test_deskew_gives_the_boxes_before_the_turn(degrees: float) -> None:
    """Up to a shift of the whole page, since the turn is about another point."""
    flat = pages("letter")[0]
    page = turned(flat, degrees, (flat.width, flat.height))
    difference = deskew(page.boxes, page.skew) - flat.boxes
    shift = np.median((difference[:, :2] + difference[:, 2:]) / 2, axis=0)
    assert np.abs(difference - np.tile(shift, 2)).max() < 0.05


def test_a_clean_page_is_left_alone() -> None:
    for kind in KINDS:
        for page in pages(kind):
            assert estimate_skew(page.boxes) == 0.0
    boxes = pages("letter")[0].boxes
    assert np.array_equal(deskew(boxes, 0.0), boxes)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_to_the_right_are_those_found_word_by_word(kind: str) -> None:
    for flat in pages(kind)[:2]:
        box = turned(flat, 1.3, (flat.width, flat.height)).boxes
        np.testing.assert_allclose(np.sort(_steps_right(box)), np.sort(plain_steps(box.astype(np.float64))))


def plain_steps(box: NDArray[np.float64]) -> list[float]:
    middle, tall = (box[:, 1] + box[:, 3]) / 2, box[:, 3] - box[:, 1]
    steps = []
    for word in range(len(box)):
        best = None
        for other in range(len(box)):
            gap = box[other, 0] - box[word, 2]
            near = -0.3 * tall[word] <= gap < 2 * tall[word] and other != word
            level = abs(middle[other] - middle[word]) < 0.4 * tall[word]
            alike = abs(tall[other] - tall[word]) < 0.25 * tall[word]
            if near and level and alike and (best is None or gap < box[best, 0] - box[word, 2]):
                best = other
        if best is not None:
            run = (box[best, 0] + box[best, 2] - box[word, 0] - box[word, 2]) / 2
            if run > 0:
                steps.append((middle[best] - middle[word]) / run)
    return steps
