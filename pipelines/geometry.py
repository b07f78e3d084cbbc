"""Boxes: quantised to thousandths of the page, and the angle by which a scan is skewed."""

import numpy as np
from numpy.typing import NDArray

MAX_SKEW_DEGREES = 5.0
MIN_WORDS_FOR_SKEW = 12


def quantise(boxes: NDArray[np.float32], width: float, height: float) -> NDArray[np.uint16]:
    """floor(1000 * coordinate / page size), clamped to 0..1000 and ordered (contract, `boxes`).

    Args:
        boxes: [N, 4] x0, y0, x1, y1 in points, origin at the page's top left.
        width, height: of the page in points.
    """
    size = np.array([width, height, width, height], np.float64)
    scaled = np.floor(1000.0 * boxes.astype(np.float64) / size)
    whole = np.clip(np.nan_to_num(scaled), 0, 1000).astype(np.uint16)
    return np.concatenate([np.minimum(whole[:, :2], whole[:, 2:]), np.maximum(whole[:, :2], whole[:, 2:])], axis=1)


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


def _steps_right(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Slopes from each word's centre to that of its nearest neighbour on the right, float64 [steps]."""
    box = boxes.astype(np.float64)
    if len(box) < 2:
        return np.zeros(0)
    x0, x1 = box[:, 0], box[:, 2]
    middle, tall = (box[:, 1] + box[:, 3]) / 2, box[:, 3] - box[:, 1]
    order = np.argsort(x0, kind="stable")
    slopes = []
    sorted_x0 = x0[order]
    for word in range(len(box)):
        first = np.searchsorted(sorted_x0, x1[word] - 0.3 * tall[word])
        near = order[first:]
        gap = x0[near] - x1[word]
        # The neighbour: within two heights, hardly higher or lower, of about the same height.
        fits = (gap < 2 * tall[word]) & (np.abs(middle[near] - middle[word]) < 0.4 * tall[word]) & (near != word)
        fits &= np.abs(tall[near] - tall[word]) < 0.25 * tall[word]
        near, gap = near[fits], gap[fits]
        if len(near):
            other = near[np.argmin(gap)]
            run = (x0[other] + x1[other] - x0[word] - x1[word]) / 2
            if run > 0:
                slopes.append((middle[other] - middle[word]) / run)
    return np.asarray(slopes)
