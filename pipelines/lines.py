"""Visual lines: which words stand beside each other (contract, `line_ids`)."""

import numpy as np
from numpy.typing import NDArray


def line_ids(boxes: NDArray[np.float64]) -> NDArray[np.int32]:
    """Visual line of each word, 0-based, ordered by top, then left: int32 [N].

    Words share a line when, after deskew, their vertical overlap is at least half the smaller height, across columns
    and table cells too. A line grows from its tallest words, so that a subscript joins the line it hangs on and does
    not tie two lines together; staggered columns, which overlap no line by half, get lines of their own.

    Args:
        boxes: [N, 4] x0, y0, x1, y1, deskewed, any one unit on both axes.
    """
    count = len(boxes)
    if not count:
        return np.zeros(0, np.int32)
    left, top, bottom = boxes[:, 0], boxes[:, 1], boxes[:, 3]
    tall = np.maximum(bottom - top, 1e-6)
    # Tallest words first, in coarse steps of height: a line is its typical words, not its first speck.
    order = np.lexsort((left, top, -np.round(np.log2(tall) * 2)))
    lines_top, lines_bottom = np.empty(count), np.empty(count)
    lines, line = 0, np.empty(count, np.int64)
    for word in order:
        overlap = np.minimum(lines_bottom[:lines], bottom[word]) - np.maximum(lines_top[:lines], top[word])
        smaller = np.minimum(lines_bottom[:lines] - lines_top[:lines], tall[word])
        share = overlap / smaller
        best = int(np.argmax(share)) if lines else -1
        if best >= 0 and share[best] >= 0.5:
            line[word] = best
        else:
            lines_top[lines], lines_bottom[lines] = top[word], bottom[word]
            line[word] = lines
            lines += 1
    lines_left = np.full(lines, np.inf)
    np.minimum.at(lines_left, line, left)
    rank = np.empty(lines, np.int32)
    rank[np.lexsort((lines_left, lines_top[:lines]))] = np.arange(lines, dtype=np.int32)
    return rank[line]
