"""Two engines' readings of one page as one. Pure functions on words and boxes.

Engines of different make err at different words. On 40 of FUNSD's training scans RapidOCR's words with Tesseract's help
have a recall of 0.964 at a precision of 0.944, without it 0.960 at 0.946.
"""

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from pipelines.ocr.engine import OcrPage

# Below the first a word gives way to the helper's at its place, if the helper is as sure as the second.
SURE = 0.99
HELPER_SURE = 0.9
SAME_PLACE = 0.5  # intersection over union
WITHIN = 0.7  # share of a helper's word that lies in a word which it parts
# Where less than the first share of a helper's word is covered nothing was found; it is taken with the second.
UNCOVERED = 0.1
ADDED = 0.5
Word = tuple[str, NDArray[np.float32], float]


def together(page: OcrPage, helper: OcrPage) -> OcrPage:
    """The words of `page`, some in the helper's reading, parted where only the helper saw a space, and those it missed.

    Args:
        page: of the better engine.
        helper: another engine's reading of the same picture.
    """
    if not page.words or not helper.words:
        return page if page.words else helper
    shared = _shared(page.boxes, helper.boxes)
    area, helper_area = _area(page.boxes), _area(helper.boxes)
    overlap = shared / np.maximum(area[:, None] + helper_area - shared, 1e-12)
    within = shared / np.maximum(helper_area, 1e-12)
    words: list[Word] = []
    for place, text in enumerate(page.words):
        parts = [_word(helper, int(k)) for k in np.flatnonzero(within[place] > WITHIN)]
        parts.sort(key=lambda part: float(part[1][0]))
        same = int(overlap[place].argmax())
        if len(parts) > 1 and _letters(text) == _letters("".join(part for part, _, _ in parts)):
            words += parts
        elif (
            overlap[place, same] > SAME_PLACE
            and page.confidence[place] < SURE
            and helper.confidence[same] >= HELPER_SURE
        ):
            words.append((helper.words[same], page.boxes[place], float(helper.confidence[same])))
        else:
            words.append(_word(page, place))
    missed = (within.sum(0) < UNCOVERED) & (helper.confidence >= ADDED)
    words += [_word(helper, int(k)) for k in np.flatnonzero(missed)]
    texts, boxes, confidence = zip(*words, strict=True)
    return OcrPage.of(list(texts), np.stack(boxes), confidence)


def _word(page: OcrPage, place: int) -> Word:
    return page.words[place], page.boxes[place], float(page.confidence[place])


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(1), np.float32)


def _shared(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area that each box [N, 4] has in common with each other one [M, 4]: [N, M]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2), np.float32)
