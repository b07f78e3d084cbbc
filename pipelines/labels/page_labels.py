"""From words and boxes to a labelled page: clean words, quantised boxes, visual lines, grid cells, in reading order."""

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labels.direction import directions
from pipelines.labels.geometry import deskew, estimate_skew, quantise
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
) -> LabelledPage:
    """Clean, order and label the words of a page.

    Args:
        words: as read, in any order.
        boxes: float32 [N, 4] in points, origin at the page's top left.
        width: of the page in points.
        height: of the page in points.
        confidence: float32 [N].
        grid_rows: of the token-to-grid labels.
        grid_columns: of the token-to-grid labels.
        grid_anchor: "top-left" or "centre" of the box.
    """
    clean, kept = _clean(words)
    boxes, confidence = boxes[kept], confidence[kept]
    upright = deskew(boxes, estimate_skew(boxes))
    lines = line_ids(upright)
    order = reading_order(upright, lines, directions(clean))
    quantised = quantise(boxes[order], width, height)
    return LabelledPage(
        words=[clean[place] for place in order],
        boxes=quantised,
        confidence=confidence[order].astype(np.float32),
        line_ids=lines[order],
        grid_cells=grid_cells(quantised, grid_rows, grid_columns, grid_anchor),
    )


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
