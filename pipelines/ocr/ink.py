"""Where the ink of a line of text is: rows of the line itself, blanks between its words. Pure functions on pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

Ink = NDArray[np.uint8]
# Of the rows' most ink: a row with less is the gap between two lines.
GAP_SHARE = 0.06
RULE_SHARE = 0.92
LONG = 3.0


def ink_of(crop: NDArray[np.uint8]) -> Ink:
    """1 where a crop uint8 [H, W, 3] shows ink, dark on light or light on dark, else 0: uint8 [H, W]."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    _, ink = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    return np.asarray(1 - ink if ink.mean() > 0.5 else ink, np.uint8)


def line_band(ink: Ink) -> tuple[int, int]:
    """First and end row of the line in the middle of a crop, with a small margin.

    A box around small print reaches into the lines above and below and onto ruled lines; reading all of it reads
    none of it. A crop of a few letters is left as it is: their gaps look like those between lines.
    """
    height, width = ink.shape
    rows = ink.sum(1).astype(np.float64)
    rows[rows > RULE_SHARE * width] = 0
    first, end = height // 4, -(-3 * height // 4)
    peak = first + int(np.argmax(rows[first:end])) if end > first else 0
    if width < LONG * height or not rows[peak]:
        return 0, height
    gaps = np.flatnonzero(rows <= GAP_SHARE * rows[peak])
    above, below = gaps[gaps < peak], gaps[gaps > peak]
    top = int(above[-1]) + 1 if len(above) else 0
    bottom = int(below[0]) if len(below) else height
    margin = max(2, round(0.12 * (bottom - top)))
    return max(0, top - margin), min(height, bottom + margin)


def widest_blank(columns: NDArray[np.int64], first: float, end: float) -> tuple[float, float]:
    """Begin and end of the widest run of the columns with the least ink between two places.

    Args:
        columns: ink of each column, [W].
        first: place that the run does not begin before, pixels.
        end: place that it does not end after, pixels.
    """
    start = int(first)
    part = columns[start : int(np.ceil(end)) + 1]
    if not len(part):
        return first, end
    least = np.concatenate([[0], (part <= part.min()).astype(np.int8), [0]])
    runs = np.flatnonzero(np.diff(least)).reshape(-1, 2)
    begin, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return start + float(begin), start + float(stop)


def around_ink(ink: Ink, first: float, end: float) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around the ink between two columns; the whole strip where there is none."""
    begin, stop = int(first), max(int(np.ceil(end)), int(first) + 1)
    part = ink[:, begin:stop]
    xs, ys = np.flatnonzero(part.any(0)), np.flatnonzero(part.any(1))
    if not len(xs):
        return float(begin), 0.0, float(stop), float(len(ink))
    return float(begin + xs[0]), float(ys[0]), float(begin + xs[-1] + 1), float(ys[-1] + 1)
