"""Words and boxes that a document brings along, checked before they stand for what a page shows."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK = 0.05  # of the page, by which a box may lie outside of it


@dataclass(frozen=True)
class ProvidedWords:
    """The words of one page as its corpus gives them; N words.

    Attributes:
        words: in any order.
        boxes: float32 [N, 4], x0, y0, x1, y1 as parts of the page's width and height, 0..1, origin at the top left.
        confidence: float32 [N], 0..1.
    """

    words: list[str]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]


def provided_words(text: Any, boxes: Any, score: Any) -> ProvidedWords | None:
    """Words from parallel lists, or None when they cannot be trusted: then the page is read like any other.

    Args:
        text: N strings.
        boxes: N times left, top, width, height as parts of the page.
        score: N numbers up to 1, or up to 100; None: all are 1.
    """
    if not isinstance(text, list) or not text or not all(isinstance(word, str) for word in text):
        return None
    try:
        given = np.asarray(boxes, np.float64)
        scores = np.ones(len(text)) if score is None else np.asarray(score, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if given.shape != (len(text), 4) or scores.shape != (len(text),):
        return None
    corners = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], axis=1)
    if not np.isfinite(corners).all() or not np.isfinite(scores).all() or (given[:, 2:] < 0).any():
        return None
    if (corners < -SLACK).any() or (corners > 1 + SLACK).any() or (scores < 0).any() or (scores > 100).any():
        return None
    if (scores > 1).any():
        scores = scores / 100
    return ProvidedWords(text, np.clip(corners, 0, 1).astype(np.float32), scores.astype(np.float32))


def split_lines(text: Any, boxes: Any, score: Any) -> ProvidedWords | None:
    """As `provided_words` from lists of whole lines: a line's box is shared out by the letters of its words.

    The words' places in the line are therefore about right and no more; their line is exact.
    """
    lines = provided_words(text, boxes, score)
    if lines is None:
        return None
    words: list[str] = []
    shares: list[tuple[int, float, float]] = []
    for number, line in enumerate(lines.words):
        at = 0
        for word in line.split():
            start = line.index(word, at)
            at = start + len(word)
            words.append(word)
            shares.append((number, start / len(line), at / len(line)))
    if not words:
        return None
    numbers = np.array([number for number, _, _ in shares])
    parts = np.array([[start, end] for _, start, end in shares], np.float32)
    found = lines.boxes[numbers].copy()
    left, width = found[:, :1].copy(), found[:, 2:3] - found[:, :1]
    found[:, [0, 2]] = left + parts * width
    return ProvidedWords(words, found, lines.confidence[numbers])


def json_pages(data: bytes) -> list[Any]:
    """The `pages` of a JSON document, empty when it is damaged."""
    try:
        pages = json.loads(data)["pages"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return pages if isinstance(pages, list) else []
