"""From words and boxes to a labelled page: clean words, quantised boxes, visual lines, grid cells, in reading order."""

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labels.direction import directions
from pipelines.labels.geometry import deskew, estimate_skew, laid_level, quantise
from pipelines.labels.grid import grid_cells
from pipelines.labels.lines import line_ids
from pipelines.labels.reading_order import reading_order


@dataclass(frozen=True)
class LabelledPage:
    """The words of a page in reading order, with their labels; N words.

    Attributes:
        words: NFC, no white space inside, never empty.
        boxes: uint16 [N, 4], 0..1000 of the page.
        confidence: float32 [N], 0..1.
        line_ids: int32 [N].
        grid_cells: uint8 [N].
    """

    words: list[str]
    boxes: NDArray[np.uint16]
    confidence: NDArray[np.float32]
    line_ids: NDArray[np.int32]
    grid_cells: NDArray[np.uint8]


def label_page(
    words: list[str],
    boxes: NDArray[np.float32],
    width: float,
    height: float,
    confidence: NDArray[np.float32],
    grid_rows: int,
    grid_columns: int,
    grid_anchor: str,
    sideways: NDArray[np.int8] | None = None,
) -> LabelledPage:
    """Clean, order and label the words of a page.

    Words that run down or up the page are read after the others, in an order of their own; where most do, lines are
    theirs, as if the page had been turned.

    Args:
        words: as read, in any order.
        boxes: float32 [N, 4] in points, origin at the page's top left.
        width: of the page in points.
        height: of the page in points.
        confidence: float32 [N].
        grid_rows: of the token-to-grid labels.
        grid_columns: of the token-to-grid labels.
        grid_anchor: "top-left" or "centre" of the box.
        sideways: int8 [N], 1 for words that run down the page, -1 for words that run up, 0 for others; None: all 0.
    """
    clean, kept = _clean(words)
    boxes, confidence = boxes[kept], confidence[kept]
    if sideways is None or not sideways[kept].any():
        upright = deskew(boxes, estimate_skew(boxes))
        lines = line_ids(upright)
        order = reading_order(upright, lines, directions(clean))
    else:
        lines, order = _lines_and_order(clean, boxes, sideways[kept])
    quantised = quantise(boxes[order], width, height)
    return LabelledPage(
        words=[clean[place] for place in order],
        boxes=quantised,
        confidence=confidence[order].astype(np.float32),
        line_ids=lines[order],
        grid_cells=grid_cells(quantised, grid_rows, grid_columns, grid_anchor),
    )


def _lines_and_order(
    words: list[str], boxes: NDArray[np.float32], sideways: NDArray[np.int8]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Line ids [N] in the frame of most words, and the order of those that run one way after those of another."""
    runs, counts = np.unique(sideways, return_counts=True)
    runs = runs[np.lexsort((runs != 0, -counts))]
    order = []
    for run in runs:
        part = np.flatnonzero(sideways == run)
        level = laid_level(boxes, int(run))
        slope = estimate_skew(level[part])
        if run == runs[0]:
            lines = line_ids(deskew(level, slope))
        upright = deskew(level[part], slope)
        written = directions([words[place] for place in part])
        order.append(part[reading_order(upright, line_ids(upright), written)])
    return lines, np.concatenate(order)


def _clean(words: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Words in NFC without white space and control characters, and the places of those with something left."""
    if _are_clean(words):
        return words, np.arange(len(words))
    clean, kept = [], []
    for place, word in enumerate(words):
        text = word if _is_clean(word) else _cleaned(word)
        if text:
            clean.append(text)
            kept.append(place)
    return clean, np.asarray(kept, np.int64)


def _are_clean(words: list[str]) -> bool:
    """Whether that holds for each of them; one text is looked at sooner than many words."""
    text = " ".join(words)
    usual = text.isprintable() and unicodedata.is_normalized("NFC", text)
    return usual and text.count(" ") == len(words) - 1 and "" not in words


def _is_clean(word: str) -> bool:
    """Whether `_cleaned` would change nothing: what is printable holds no control, and white space only as spaces."""
    return word.isprintable() and " " not in word and unicodedata.is_normalized("NFC", word)


def _cleaned(word: str) -> str:
    return "".join(
        letter
        for letter in unicodedata.normalize("NFC", word)
        if not letter.isspace() and unicodedata.category(letter) not in ("Cc", "Cs")
    )
