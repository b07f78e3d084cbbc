"""Visual lines: which words stand beside each other (contract, `line_ids`)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

MIN_OVERLAP = 0.5  # of the smaller height (contract)
# A word of more median heights may reach over several lines of lower ones; several, for text of several sizes.
TALL_HEIGHTS = (1.2, 1.5, 2.0, 3.0)
MAX_BANDS = 1024  # of a page in which lines are looked up


def line_ids(boxes: NDArray[np.float64]) -> NDArray[np.int32]:
    """Visual line of each word, 0-based, ordered by top, then left: int32 [N].

    Words share a line when, after deskew, their vertical overlap is at least half the smaller height, across columns
    and table cells too. A line grows from its tallest words, so that a subscript joins the line it hangs on and does
    not tie two lines together; nor does a word that reaches over several lines, which comes last. Staggered columns,
    which overlap no line by half, get lines of their own.

    Args:
        boxes: [N, 4] x0, y0, x1, y1, deskewed, any one unit on both axes.
    """
    if not len(boxes):
        return np.zeros(0, np.int32)
    left, top = boxes[:, 0], boxes[:, 1]
    bottom = np.maximum(boxes[:, 3], top + 1e-6)
    # Tallest words first, in coarse steps of height: a line is its typical words, not its first speck.
    coarse = np.round(np.log2(bottom - top) * 2)
    order = np.lexsort((bottom, top, -coarse, _reach_over_lines(top, bottom)))
    # Words of one height on one line follow each other here: each such run is placed once.
    top, bottom = top[order], bottom[order]
    begins = np.append(True, (np.diff(top) != 0) | (np.diff(bottom) != 0))
    height = max(float(np.median(bottom - top)), float(bottom.max() - top.min()) / MAX_BANDS)
    grown, first_tops = _grow(top[begins].tolist(), bottom[begins].tolist(), height)
    line = np.empty(len(boxes), np.int64)
    line[order] = np.asarray(grown)[np.cumsum(begins) - 1]
    tops, lefts = np.array(first_tops), np.full(len(first_tops), np.inf)
    np.minimum.at(lefts, line, left)
    rank = np.empty(len(tops), np.int32)
    rank[np.lexsort((lefts, tops))] = np.arange(len(tops), dtype=np.int32)
    return rank[line]


def _reach_over_lines(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a word is tall and has lower words beside it that are on two lines at least: bool [N]."""
    reach, median = np.zeros(len(top), bool), np.median(bottom - top)
    for heights in TALL_HEIGHTS:
        tall = bottom - top > heights * median
        if not tall.any():
            break
        reach |= _reach_over_usual(tall, top, bottom)
    return reach


def _reach_over_usual(
    tall: NDArray[np.bool_], top: NDArray[np.float64], bottom: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether a word is `tall` and has words beside it that are not, on two lines at least: bool [N]."""
    usual = np.flatnonzero(~tall)
    middle = (top[usual] + bottom[usual]) / 2
    usual, middle = usual[np.argsort(middle)], np.sort(middle)
    # Beside a tall word are the usual words with their middle within it: a run from the highest to the lowest.
    first, end = np.searchsorted(middle, top[tall]), np.searchsorted(middle, bottom[tall])
    several = end - first > 1
    highest, lowest = usual[first[several]], usual[end[several] - 1]
    # Boxes as high as the font overlap those of the next line a little.
    overlap = bottom[highest] - top[lowest]
    smaller = np.minimum(bottom[highest] - top[highest], bottom[lowest] - top[lowest])
    reach = np.zeros(len(top), bool)
    reach[np.flatnonzero(tall)[several]] = overlap < MIN_OVERLAP * smaller
    return reach


def _grow(tops: Iterable[float], bottoms: Iterable[float], height: float) -> tuple[list[int], list[float]]:
    """The line that each word joins or begins, and the top of each line's first word.

    Args:
        tops: of the words, those that begin lines first.
        bottoms: of the words.
        height: of the bands of the page in which lines are looked up, about that of a usual word.
    """
    lines: list[tuple[float, float]] = []
    bands: dict[int, list[int]] = {}
    joined = []
    for top, bottom in zip(tops, bottoms, strict=True):
        best, most = -1, 0.0
        touched = range(int(top // height), int(bottom // height) + 1)
        for band in touched:
            for line in bands.get(band, ()):
                line_top, line_bottom = lines[line]
                overlap = min(bottom, line_bottom) - max(top, line_top)
                share = overlap / min(bottom - top, line_bottom - line_top)
                if share >= MIN_OVERLAP and (share > most or (share == most and line < best)):
                    best, most = line, share
        if best < 0:
            best = len(lines)
            lines.append((top, bottom))
            for band in touched:
                bands.setdefault(band, []).append(best)
        joined.append(best)
    return joined, [top for top, _ in lines]
