"""Can a page's text layer stand for what the page shows? Cheap checks on glyphs, words and ink, in no particular language."""

import unicodedata

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_BAD_GLYPHS = 0.05
MAX_OFF_INK = 0.35
INK_CONTRAST = 30.0


def trust_text_layer(
    words: list[str], boxes: NDArray[np.float32], picture: Image.Image, width: float, height: float
) -> tuple[bool, str]:
    """Whether the words are readable and stand on the page's ink, and if not why.

    Args:
        words: the text layer's.
        boxes: float32 [N, 4] in points of the page.
        picture: the drawn page.
        width, height: of the page in points.
    """
    if not words:
        return False, "no text layer"
    text = "".join(words)
    bad = sum(_is_bad(letter) for letter in text)
    if bad > MAX_BAD_GLYPHS * len(text):
        return False, f"{bad} of {len(text)} characters have no meaning"
    if len(words) >= 20 and sum(len(word) == 1 for word in words) > 0.7 * len(words) and text.isascii():
        return False, "single letters instead of words"
    off = _share_off_ink(boxes, picture, width, height)
    if off > MAX_OFF_INK:
        return False, f"{off:.0%} of the words stand where the page shows nothing"
    return True, ""


def _is_bad(letter: str) -> bool:
    """Replacement characters, private-use glyphs and control codes: what a broken font map gives."""
    return letter == "\ufffd" or unicodedata.category(letter) in ("Co", "Cn", "Cc", "Cs")


def _share_off_ink(boxes: NDArray[np.float32], picture: Image.Image, width: float, height: float) -> float:
    """Share of the boxes (at most 200, evenly chosen) in which the picture shows no contrast."""
    grey = np.asarray(picture.convert("L"))
    scale = np.array([grey.shape[1] / width, grey.shape[0] / height] * 2, np.float32)
    chosen = boxes[:: max(1, len(boxes) // 200)] * scale
    off = 0
    for x0, y0, x1, y1 in chosen:
        patch = grey[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
        off += patch.size == 0 or float(patch.max()) - float(patch.min()) < INK_CONTRAST
    return off / len(chosen)
