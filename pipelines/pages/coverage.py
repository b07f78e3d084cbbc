"""Does a text layer hold what the page shows? Not that of a scan with a stamp, a header or facts about it alone."""

import numpy as np
from numpy.typing import NDArray

UNCOVERED = "the page shows text that its text layer does not hold"
BESIDE = "the hidden text layer stands beside the letters that the page's picture shows"
FEW_WORDS = 80  # a text layer of more is no stamp
CONTRAST = 60
MIN_HEIGHT, MAX_HEIGHT = 3, 24  # pixels of a letter, or of letters that touch
MAX_WIDTH = 8.0  # of such a piece by its height
MIN_PIECES = 60
TIMES = 2.0
# Of the letters in lines. OCR by others misses up to 0.5 of them (a line of small print in many pieces), a block of
# facts about the document 0.8 to 0.9.
MOST_MISSED = 0.65
LEAST_BESIDE = 0.5  # of the ink: where less is beside the words, letters need not be counted
LEAST_INK = 6  # pixels of a piece
MOST = 1500  # pieces that are compared with each other


def shows_more(words: list[str], boxes: NDArray[np.float32], picture: NDArray[np.uint8]) -> bool:
    """Whether the picture shows far more letters in lines than `words` have.

    Only pages of few words are looked at, so that a page of text costs nothing. Drawings, photographs and points of a
    plot are no lines of pieces of about one height.

    Args:
        words: the text layer's.
        boxes: float32 [N, 4] of them, as shares of the page.
        picture: uint8 [H, W, 3] RGB, the drawn page.
    """
    if len(words) > FEW_WORDS:
        return False
    least = max(MIN_PIECES, TIMES * sum(map(len, words)))
    ink = _outside(boxes, _ink(picture))
    return int(np.count_nonzero(ink)) > LEAST_INK * least and letters_in_lines(ink) > least


def stands_beside(boxes: NDArray[np.float32], picture: NDArray[np.uint8]) -> bool:
    """Whether most letters in lines that the picture shows are outside of all boxes; for any number of words.

    Args:
        boxes: float32 [N, 4] of the words, as shares of the page.
        picture: uint8 [H, W, 3] RGB, the drawn page.
    """
    ink = _ink(picture)
    total = np.count_nonzero(ink)
    beside = _outside(boxes, ink)
    if np.count_nonzero(beside) <= max(LEAST_INK * MIN_PIECES, LEAST_BESIDE * total):
        return False
    missed = letters_in_lines(beside)
    return missed > MIN_PIECES and missed > MOST_MISSED * letters_in_lines(_ink(picture))


def _ink(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the picture differs from its background: bool [H, W]."""
    green = np.ascontiguousarray(picture[:, :, 1])
    background = int(np.median(green[::8, ::8]))
    low, high = max(0, background - CONTRAST), min(255, background + CONTRAST)
    return (green < low) | (green > high)


def _outside(boxes: NDArray[np.float32], ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`ink`, changed in place, without what is in the boxes."""
    height, width = ink.shape
    first = np.floor(boxes[:, :2] * (width, height)).astype(int) - 1
    end = np.ceil(boxes[:, 2:] * (width, height)).astype(int) + 1
    for (x0, y0), (x1, y1) in zip(np.maximum(first, 0).tolist(), end.tolist(), strict=True):
        ink[y0:y1, x0:x1] = False
    return ink


def letters_in_lines(ink: NDArray[np.bool_]) -> int:
    """How many pieces of ink (bool [H, W]) are of a letter's size and have two such pieces beside them."""
    import cv2

    pieces = cv2.connectedComponentsWithStats(ink.view(np.uint8), connectivity=8)[2][1:]
    x, y, width, height = pieces[:, :4].T
    alike = (height >= MIN_HEIGHT) & (height <= MAX_HEIGHT) & (width <= MAX_WIDTH * height)
    x, y, width, height = (column[alike] for column in (x, y, width, height))
    total = len(x)
    if total <= 2:
        return 0
    step = -(-total // MOST)
    middle, end, bottom = x + width / 2, x + width, y + height
    chosen = np.arange(0, total, step)
    gap = np.maximum(x[None, :] - end[chosen, None], x[chosen, None] - end[None, :])
    level = np.abs(bottom[None, :] - bottom[chosen, None]) <= 2
    near = (gap <= 2 * height[chosen, None]) & (middle[None, :] != middle[chosen, None])
    size = (height[None, :] <= 2 * height[chosen, None]) & (height[chosen, None] <= 2 * height[None, :])
    return int(((level & near & size).sum(1) >= 2).sum()) * step
