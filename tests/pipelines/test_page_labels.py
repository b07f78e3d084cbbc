"""Words of a page: cleaned, in lines, in order, and with what belongs to each."""

import numpy as np
import pytest

from pipelines.labels.lines import line_ids
from pipelines.labels.page_labels import LabelledPage, label_page


def labelled(words: list[str], boxes: list[list[float]], confidence: list[float] | None = None) -> LabelledPage:
    sure = np.array(confidence or [1.0] * len(words), np.float32)
    return label_page(words, np.array(boxes, np.float32).reshape(-1, 4), 1000, 1000, sure, 4, 4, "top-left")


def test_boxes_and_confidence_stay_with_their_words() -> None:
    words = ["last", "\x07\x00", "e\u0301te\u0301", "so\u00a0me\x07"]
    boxes = [[10, 500, 60, 520], [300, 100, 310, 120], [200, 100, 250, 120], [10, 100, 60, 120]]
    page = labelled(words, boxes, [0.1, 0.2, 0.3, 0.4])
    assert page.words == ["some", "\u00e9t\u00e9", "last"], "one letter each, and nothing of controls"
    assert page.confidence.tolist() == pytest.approx([0.4, 0.3, 0.1])
    assert page.boxes.tolist() == [boxes[3], boxes[2], boxes[0]]


def test_a_page_of_nothing_readable_is_empty() -> None:
    page = labelled([" ", "\x00"], [[0, 0, 1, 1], [2, 2, 3, 3]])
    assert (page.words, len(page.boxes), len(page.line_ids)) == ([], 0, 0)


@pytest.mark.parametrize(("shift", "lines"), [(0, 1), (4.9, 1), (5.0, 1), (5.1, 2), (20, 2)])
def test_words_share_a_line_by_half_of_the_smaller_height(shift: float, lines: int) -> None:
    boxes = np.array([[0, 100, 50, 110], [60, 100 + shift, 90, 110 + shift]], np.float64)
    assert line_ids(boxes).max() + 1 == lines


def test_a_word_that_reaches_over_two_lines_ties_them_not_together() -> None:
    """A large initial, or a bracket beside two lines."""
    words = [[x, y, x + 40, y + 10] for y in (100, 113) for x in (50, 100, 150)]
    found = line_ids(np.array([[0, 100, 30, 123], *words], np.float64))
    assert found[1:].tolist() == [0, 0, 0, 1, 1, 1]
    assert found[0] in (0, 1)


@pytest.mark.parametrize(
    ("lines", "words", "columns"),
    [(4, 3, True), (9, 3, True), (3, 3, False), (9, 2, False)],
    ids=["least", "many", "few lines", "few words a line"],
)
def test_columns_have_some_lines_of_several_words(lines: int, words: int, columns: bool) -> None:
    """Anything smaller is a row of cells, and is read across."""
    places = [(line, side, word) for line in range(lines) for side in range(2) for word in range(words)]
    boxes = [[100 + 400 * s + 60 * w, 100 + 20 * y, 150 + 400 * s + 60 * w, 112 + 20 * y] for y, s, w in places]
    page = labelled([f"{line}.{side}.{word}" for line, side, word in places], boxes)
    wanted = sorted(places, key=lambda place: (place[1], place[0], place[2])) if columns else places
    assert page.words == [f"{line}.{side}.{word}" for line, side, word in wanted]
