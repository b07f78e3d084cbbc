"""Reading order: columns are read one after the other, everything else line by line (recursive XY cut)."""

import numpy as np
from numpy.typing import NDArray

from pipelines.labels.direction import Directions

# Of lines and the order of words: another number makes rows of another fingerprint.
VERSION = 3
MIN_GUTTER_HEIGHTS = 0.9  # a gutter between columns, in median word heights
MIN_HEAD_GAP_HEIGHTS = 0.75  # white space under a running head and over a foot, in median word heights
MIN_COLUMN_LINES = 4  # a block of fewer lines on a side is a row of cells, not a column
MIN_COLUMN_WORDS_A_LINE = 2.5  # a column of text has several words in its lines; a column of a table few
# The cells of a table stand as far apart inside a side as the sides do: words there come in short runs.
RUN_GAP_HEIGHTS = 1.5  # a run of words ends at a gap of so many median word heights
RUN_GAP_GUTTERS = 0.5  # and of so much of the gutter
MIN_COLUMN_WORDS_A_RUN = 2.5  # of both columns,
MIN_TEXT_WORDS_A_RUN = 4.0  # unless one is so much running text that the other may be a table


def reading_order(
    boxes: NDArray[np.float64], lines: NDArray[np.int32], directions: Directions | None
) -> NDArray[np.int64]:
    """Permutation [N] that puts words in reading order.

    Args:
        boxes: [N, 4] x0, y0, x1, y1, deskewed, any one unit on both axes.
        lines: int32 [N], visual line of each word.
        directions: of the words; None: all are written from the left.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    out: list[NDArray[np.int64]] = []
    for part in _head_body_foot(boxes, lines, height):
        _cut(part, boxes, lines, max(height, 1e-6), directions, out)
    return np.concatenate(out)


def _head_body_foot(boxes: NDArray[np.float64], lines: NDArray[np.int32], height: float) -> list[NDArray[np.int64]]:
    """The page's first and last line apart from the rest, where white space parts them: they belong to no column.

    Words of a part are in the order of their left edges; every later part keeps that.
    """
    body = np.argsort(boxes[:, 0], kind="stable")
    head = foot = body[:0]
    first = lines[body] == lines.min()
    if not first.all() and boxes[body[~first], 1].min() - boxes[body[first], 3].max() >= MIN_HEAD_GAP_HEIGHTS * height:
        head, body = body[first], body[~first]
    last = lines[body] == lines.max()
    if not last.all() and boxes[body[last], 1].min() - boxes[body[~last], 3].max() >= MIN_HEAD_GAP_HEIGHTS * height:
        foot, body = body[last], body[~last]
    return [part for part in (head, body, foot) if len(part)]


def _cut(
    words: NDArray[np.int64],
    boxes: NDArray[np.float64],
    lines: NDArray[np.int32],
    height: float,
    directions: Directions | None,
    out: list[NDArray[np.int64]],
) -> None:
    gutter = _gutter(words, boxes, lines, height)
    if gutter is not None:
        columns = [words[boxes[words, 0] < gutter], words[boxes[words, 0] >= gutter]]
        if directions is not None and directions.from_right(words):
            columns.reverse()
        for part in columns:
            _cut(part, boxes, lines, height, directions, out)
        return
    # No gutter through the whole block: split off the lines that cross it, from the widest white band downward.
    split = _split_by_columns(words, boxes, lines, height)
    if split is not None:
        for part in split:
            _cut(part, boxes, lines, height, directions, out)
        return
    words = words[np.argsort(lines[words], kind="stable")]
    if directions is None:
        out.append(words)
        return
    ends = np.flatnonzero(np.diff(lines[words])) + 1
    out.extend(directions.as_read(line, words, boxes) for line in np.split(words, ends))


def _gutter(
    words: NDArray[np.int64], boxes: NDArray[np.float64], lines: NDArray[np.int32], height: float
) -> float | None:
    """X of a vertical white band with a column of running text on both sides, or None."""
    if len(words) < 2 * MIN_COLUMN_LINES:
        return None
    left = boxes[words, 0]
    reach = np.maximum.accumulate(boxes[words, 2])
    gap = left[1:] - reach[:-1]
    wide = np.flatnonzero(gap >= MIN_GUTTER_HEIGHTS * height)
    for at in wide[np.argsort(-gap[wide], kind="stable")[:4]]:
        sides = words[: at + 1], words[at + 1 :]
        if not all(_is_column(side, lines) for side in sides):
            continue
        apart = max(RUN_GAP_HEIGHTS * height, RUN_GAP_GUTTERS * gap[at])
        fewer, more = sorted(_words_a_run(side, boxes, lines, apart) for side in sides)
        if fewer >= MIN_COLUMN_WORDS_A_RUN or more >= MIN_TEXT_WORDS_A_RUN:
            return float((reach[at] + left[at + 1]) / 2)
    return None


def _is_column(words: NDArray[np.int64], lines: NDArray[np.int32]) -> bool:
    count = int(np.count_nonzero(np.bincount(lines[words])))
    return count >= MIN_COLUMN_LINES and len(words) >= MIN_COLUMN_WORDS_A_LINE * count


def _words_a_run(words: NDArray[np.int64], boxes: NDArray[np.float64], lines: NDArray[np.int32], apart: float) -> float:
    """Words, in the order of their left edges, for each run of them on a line without a gap over `apart`."""
    rows = words[np.argsort(lines[words], kind="stable")]
    ends = (np.diff(lines[rows]) != 0) | (boxes[rows[1:], 0] - boxes[rows[:-1], 2] > apart)
    return len(words) / (1 + int(np.count_nonzero(ends)))


def _split_by_columns(
    words: NDArray[np.int64], boxes: NDArray[np.float64], lines: NDArray[np.int32], height: float
) -> list[NDArray[np.int64]] | None:
    """[above, block with a gutter, below], when the block's lines share a gutter that other lines cross, or None."""
    line = lines[words]
    ids = np.flatnonzero(np.bincount(line))
    if len(ids) < 2 * MIN_COLUMN_LINES:
        return None
    left, right = boxes[words[0], 0], boxes[words, 2].max()
    middle = (left + right) / 2
    spread = (right - left) * 0.2
    # Lines without ink in a narrow band about the middle; the band slides over the middle 40 % of the width.
    centre = np.linspace(middle - spread, middle + spread, 17)[:, None]
    half = MIN_GUTTER_HEIGHTS * height / 2
    band, word = np.nonzero((boxes[words, 0] < centre + half) & (boxes[words, 2] > centre - half))
    # A row a band: a mark for its beginning, then one for each line that has ink in it. The longest run without a mark
    # is what we look for.
    marked = np.zeros((len(centre), 1 + len(ids)), bool)
    marked[:, 0] = True
    marked[band, 1 + np.searchsorted(ids, line[word])] = True
    marks = np.append(np.flatnonzero(marked), marked.size)
    runs = np.diff(marks) - 1
    longest = int(np.argmax(runs))
    start = int(marks[longest]) % marked.shape[1]
    end = start + int(runs[longest])
    if end - start < 2 * MIN_COLUMN_LINES or end - start == len(ids):
        return None
    first, last = ids[start], ids[end - 1]
    block = words[(line >= first) & (line <= last)]
    if _gutter(block, boxes, lines, height) is None:
        return None
    return [part for part in (words[line < first], block, words[line > last]) if len(part)]
