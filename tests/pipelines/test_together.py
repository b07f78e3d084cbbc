"""Two readings of one page as one."""

from itertools import pairwise

import numpy as np

from pipelines.ocr.engine import OcrPage
from pipelines.ocr.together import together


def line(*words: tuple[str, float], cuts: tuple[float, ...] | None = None, y: float = 0.1) -> OcrPage:
    """Words side by side from 0 to 1, with their confidence."""
    places = cuts or tuple(k / len(words) for k in range(len(words) + 1))
    boxes = [[x0 + 0.01, y, x1 - 0.01, y + 0.02] for x0, x1 in pairwise(places)]
    return OcrPage.of([text for text, _ in words], boxes, [confidence for _, confidence in words])


def test_a_word_gives_way_only_to_a_surer_one_at_its_place() -> None:
    page = line(("Tota1", 0.8), ("sum", 0.995), ("paid", 0.8))
    helper = line(("Total", 0.95), ("sun", 0.97), ("pald", 0.6))
    both = together(page, helper)
    assert both.words == ["Total", "sum", "paid"]
    assert np.array_equal(both.boxes, page.boxes)
    assert np.allclose(both.confidence, [0.95, 0.995, 0.8])


def test_a_word_is_parted_where_the_letters_are_the_same() -> None:
    page = line(("FORPROCESSING", 0.999), ("NEWPORTLTS", 0.9))
    helper = line(("For", 0.4), ("processing:", 0.4), ("NEWPORT", 0.9), ("ITS", 0.9), cuts=(0, 0.12, 0.5, 0.75, 1))
    both = together(page, helper)
    assert both.words == ["For", "processing:", "NEWPORTLTS"]
    assert np.allclose(both.boxes[:2], helper.boxes[:2])


def test_what_only_the_helper_found_is_added_if_it_is_sure() -> None:
    below = line(("found", 0.7), ("dirt", 0.3), y=0.5)
    both = together(line(("here", 0.9)), below)
    assert both.words == ["here", "found"]
    assert np.allclose(both.boxes[1], below.boxes[0])


def test_a_reading_without_words_is_the_other_one() -> None:
    nothing, something = OcrPage.of([], [], []), line(("here", 0.9))
    assert together(nothing, something) is something
    assert together(something, nothing) is something
