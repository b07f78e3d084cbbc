"""Can a page's text layer stand for what the page shows? Cheap checks on glyphs, letters and ink."""

import string
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.pages.coverage import BESIDE, UNCOVERED, shows_more, stands_beside

if TYPE_CHECKING:
    from pipelines.pages.hidden import Layers

# Of these checks and of how text layers are read: another number makes rows of another fingerprint.
VERSION = 4
MAX_BAD_GLYPHS = 0.05
MAX_OFF_INK = 0.35
INK_CONTRAST = 30.0
INK_BOXES = 80
INK_POINTS = 512  # of a box, up to four times as many; every pixel of a smaller one
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601
# Share of each letter a..z in text, mean of English, German, Spanish and French, per cent.
LETTERS = np.array(
    [
        *(8.4, 1.6, 3.2, 4.5, 14.0, 1.4, 1.9, 3.0, 6.8, 0.4, 0.6, 4.5, 2.8),
        *(7.6, 6.2, 1.9, 0.6, 6.6, 7.4, 6.8, 4.1, 1.2, 1.1, 0.2, 0.8, 0.5),
    ]
)
# Cosine with LETTERS: 95 % of 550 real pages in some 15 languages are over 0.85, 94 % of letter substitutions are
# under 0.7.
MIN_LETTER_LIKENESS = 0.7
MIN_LETTERS = 200


def trust_text_layer(
    words: list[str],
    boxes: NDArray[np.float32],
    picture: NDArray[np.uint8],
    width: float,
    height: float,
    layers: "Layers | None" = None,
) -> tuple[bool, str]:
    """Whether the words are readable and stand on the page's ink, and if not why.

    Args:
        words: the text layer's.
        boxes: float32 [N, 4] in points of the page.
        picture: uint8 [H, W, 3] RGB, the drawn page.
        width: of the page in points.
        height: of the page in points.
        layers: of the page, where it may be a scan with hidden words.
    """
    if not words:
        return False, "no text layer"
    text = "".join(words)
    letters = Counter(text)
    bad = sum(count for letter, count in letters.items() if _is_bad(letter))
    if bad > MAX_BAD_GLYPHS * len(text):
        return False, f"{bad} of {len(text)} characters have no meaning"
    single = sum(word.isalpha() for word in words if len(word) == 1)
    if len(words) >= 20 and single > 0.7 * len(words) and text.isascii():
        return False, "single letters instead of words"
    if (likeness := _letter_likeness(letters)) < MIN_LETTER_LIKENESS:
        return False, f"letters are spread as in no language ({likeness:.2f} alike, at least {MIN_LETTER_LIKENESS})"
    off = _share_off_ink(boxes, picture, width, height)
    if off > MAX_OFF_INK:
        return False, f"{off:.0%} of the words stand where the page shows nothing"
    shares = (boxes / [width, height, width, height]).astype(np.float32)
    if shows_more(words, shares, picture):
        return False, UNCOVERED
    if layers and layers.is_picture() and stands_beside(shares, picture) and layers.text_is_hidden():
        return False, BESIDE
    return True, ""


def _is_bad(letter: str) -> bool:
    """Replacement characters, private-use glyphs and control codes: what a broken font map gives."""
    return letter == "\ufffd" or unicodedata.category(letter) in ("Co", "Cn", "Cc", "Cs")


def _letter_likeness(letters: Mapping[str, int]) -> float:
    """How alike the use of letters is to Western European text, 0..1; 1 for little text or another script.

    A font map that gives wrong letters for right glyphs makes words that only their letters' shares betray.
    """
    latin = zip(string.ascii_lowercase, string.ascii_uppercase, strict=True)
    counts = np.array([letters.get(lower, 0) + letters.get(upper, 0) for lower, upper in latin])
    total = int(counts.sum())
    if total < MIN_LETTERS or total < 0.85 * sum(count for letter, count in letters.items() if letter.isalpha()):
        return 1.0
    return float(counts @ LETTERS / (np.linalg.norm(counts) * np.linalg.norm(LETTERS)))


def _share_off_ink(boxes: NDArray[np.float32], picture: NDArray[np.uint8], width: float, height: float) -> float:
    """Share of the boxes (about INK_BOXES, evenly chosen) in which the picture shows no contrast."""
    size = np.array([picture.shape[1], picture.shape[0]] * 2)
    chosen = boxes[:: -(-len(boxes) // INK_BOXES)] * (size / np.array([width, height] * 2))
    x0, y0, x1, y1 = np.clip(chosen.astype(np.int32), 0, (size - 1).astype(np.int32)).T
    # The points of all boxes one after the other, row by row: every pixel of a small box, every so many of a large one.
    step = np.maximum(1, np.sqrt((x1 - x0 + 1.0) * (y1 - y0 + 1.0) / INK_POINTS).astype(np.int32))
    columns, rows = (x1 - x0) // step + 1, (y1 - y0) // step + 1
    begin = np.cumsum(columns * rows, dtype=np.int32) - columns * rows
    box = np.repeat(np.arange(len(step)), columns * rows)
    row, column = np.divmod(np.arange(len(box), dtype=np.int32) - begin[box], columns[box])
    point = (y0[box] + row * step[box]) * np.int32(picture.shape[1]) + x0[box] + column * step[box]
    grey = picture.reshape(-1, 3).take(point, axis=0) @ LUMA
    contrast = np.maximum.reduceat(grey, begin) - np.minimum.reduceat(grey, begin)
    return float((contrast < INK_CONTRAST).mean())
