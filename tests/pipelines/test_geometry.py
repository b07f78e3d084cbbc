"""Boxes as the contract stores them, the cell that each is in, and what is too little to tell a skew by."""

import numpy as np
import pytest

from pipelines.labels.geometry import deskew, estimate_skew, quantise
from pipelines.labels.grid import grid_cells


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_boxes_are_rounded_down_to_thousandths_of_width_and_height() -> None:
    found = quantise(boxes((0, 0, 100, 200), (12.39, 12.39, 99.99, 199.99)), 100, 200)
    assert found.tolist() == [[0, 0, 1000, 1000], [123, 61, 999, 999]]
    assert found.dtype == np.uint16


def test_boxes_off_the_page_are_clamped_and_swapped_corners_put_right() -> None:
    found = quantise(boxes((-5, -1, 250, 300), (50, 80, 20, 40), (float("nan"), 1, 2, float("inf"))), 100, 200)
    assert found.tolist() == [[0, 0, 1000, 1000], [200, 200, 500, 400], [0, 5, 20, 1000]]


def test_cells_are_numbered_row_by_row_by_the_corner() -> None:
    corners = [(0, 0), (249, 0), (250, 0), (1000, 0), (0, 499), (0, 500), (999, 999), (1000, 1000)]
    placed = np.array([(x, y, 1000, 1000) for x, y in corners], np.uint16)
    assert grid_cells(placed, 2, 4, "top-left").tolist() == [0, 0, 1, 3, 0, 4, 7, 7]
    assert grid_cells(placed, 4, 2, "top-left").tolist() == [0, 0, 0, 1, 2, 4, 7, 7]
    assert grid_cells(placed, 16, 16, "top-left").max() == 255


def test_a_centre_between_two_thousandths_is_exact() -> None:
    placed = np.array([(499, 0, 500, 0), (499, 0, 501, 0), (0, 400, 9, 599), (0, 400, 9, 600)], np.uint16)
    assert grid_cells(placed, 2, 2, "centre").tolist() == [0, 1, 0, 2]
    assert grid_cells(placed, 2, 2, "top-left").tolist() == [0, 0, 0, 0]


def row(words: int, degrees: float) -> np.ndarray:
    """Words of a line that falls to the right."""
    x = np.arange(words) * 14.0
    y = 300 + x * np.tan(np.radians(degrees))
    return np.stack([x, y, x + 10, y + 10], axis=1).astype(np.float32)


@pytest.mark.parametrize(("words", "degrees", "found"), [(40, 3.0, 3.0), (40, 8.0, 0.0), (8, 3.0, 0.0), (0, 0.0, 0.0)])
def test_a_skew_is_told_by_many_words_and_up_to_five_degrees(words: int, degrees: float, found: float) -> None:
    assert np.degrees(np.arctan(estimate_skew(row(words, degrees)))) == pytest.approx(found, abs=0.05)


def test_a_box_too_low_for_its_length_keeps_half_its_height() -> None:
    """A rule across the page, say: it was not drawn around a turned word."""
    x0, y0, x1, y1 = deskew(boxes((0, 0, 100, 1)), 0.05)[0]
    assert y1 - y0 == pytest.approx(0.5)
    assert x1 - x0 == pytest.approx(100, abs=0.5)
