"""Boxes: quantised to thousandths of the page, and the angle by which a scan is skewed."""

import numpy as np
from numpy.typing import NDArray

MAX_SKEW_DEGREES = 5.0
MIN_WORDS_FOR_SKEW = 12
MAX_WORDS_FOR_SKEW = 2048  # of more, an even share is asked


def quantise(boxes: NDArray[np.float32], width: float, height: float) -> NDArray[np.uint16]:
    """floor(1000 * coordinate / page size), clamped to 0..1000 and ordered (contract, `boxes`).

    Args:
        boxes: [N, 4] x0, y0, x1, y1 in points, origin at the page's top left.
        width: of the page in points.
        height: of the page in points.
    """
    size = np.array([width, height, width, height], np.float64)
    scaled = np.floor(1000.0 * boxes.astype(np.float64) / size)
    whole = np.clip(np.nan_to_num(scaled), 0, 1000).astype(np.uint16)
    return np.concatenate([np.minimum(whole[:, :2], whole[:, 2:]), np.maximum(whole[:, :2], whole[:, 2:])], axis=1)


def laid_level(boxes: NDArray[np.float32], run: int) -> NDArray[np.float32]:
    """Boxes [N, 4] in a frame in which words that run down (1) or up (-1) the page run to the right; 0: as they are."""
    x0, y0, x1, y1 = boxes.T
    if run > 0:
        return np.stack([y0, -x1, y1, -x0], axis=1)
    return np.stack([-y1, x0, -y0, x1], axis=1) if run else boxes


def estimate_skew(boxes: NDArray[np.float32]) -> float:
    """Slope dy/dx of the text lines (positive: lines fall to the right), 0 when the boxes show none.

    The slope is the median over steps from each word to its nearest neighbour on the right. A clean page gives exactly
    aligned steps and so 0; few words give 0, since a wrong slope costs more than a small uncorrected one.
    """
    steps = _steps_right(boxes)
    if len(steps) < MIN_WORDS_FOR_SKEW:
        return 0.0
    slope = float(np.median(steps))
    limit = np.tan(np.radians(MAX_SKEW_DEGREES))
    return slope if 1e-4 < abs(slope) < limit else 0.0


def deskew(boxes: NDArray[np.float32], slope: float) -> NDArray[np.float64]:
    """Boxes of the words as they stood before the page was turned, float64 [N, 4], in the unit of `boxes`.

    Centres are turned back about the page's top left. An upright box around a turned word is higher than the word, by
    `slope` times its length; that is taken off again, or long words would reach into the next line.
    """
    box = boxes.astype(np.float64)
    if not slope:
        return box
    cos, sin = 1 / np.hypot(1, slope), slope / np.hypot(1, slope)
    centre_x, centre_y = (box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2
    wide, tall = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    x, y = centre_x * cos + centre_y * sin, centre_y * cos - centre_x * sin
    # wide = width cos + height sin, tall = width sin + height cos. Half is kept of a box too low for its length: it was
    # not drawn around a turned word.
    width = np.maximum((wide * cos - tall * abs(sin)) / (cos**2 - sin**2), wide / 2)
    height = np.maximum((tall * cos - wide * abs(sin)) / (cos**2 - sin**2), tall / 2)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _steps_right(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Slopes from each word's centre to that of its nearest neighbour on the right, float64 [steps]."""
    box = boxes.astype(np.float64)
    if len(box) < 2:
        return np.zeros(0)
    x0, x1 = box[:, 0], box[:, 2]
    middle, tall = (box[:, 1] + box[:, 3]) / 2, box[:, 3] - box[:, 1]
    order = np.argsort(x0, kind="stable")
    words = np.arange(0, len(box), max(1, len(box) // MAX_WORDS_FOR_SKEW))
    # Words that begin from just before the word's end to two heights after it: a run of the order.
    first = np.searchsorted(x0[order], x1[words] - 0.3 * tall[words])
    count = np.searchsorted(x0[order], x1[words] + 2 * tall[words]) - first
    word = np.repeat(words, count)
    near = order[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)]
    # The neighbour is hardly higher or lower, and of about the same height.
    fits = (np.abs(middle[near] - middle[word]) < 0.4 * tall[word]) & (near != word)
    fits &= np.abs(tall[near] - tall[word]) < 0.25 * tall[word]
    word, near = word[fits], near[fits]
    # The order is by left edge, so a word's first is its nearest.
    word, nearest = np.unique(word, return_index=True)
    near = near[nearest]
    run = (x0[near] + x1[near] - x0[word] - x1[word]) / 2
    steps: NDArray[np.float64] = (middle[near] - middle[word])[run > 0] / run[run > 0]
    return steps
