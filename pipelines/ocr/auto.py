"""The best engine for each page: Tesseract reads clean print as well and several times faster, RapidOCR reads scans.

Where both have read a page, their words are put together (`pipelines.ocr.together`).
"""

import numpy as np

from pipelines.ocr.engine import OcrEngine, OcrPage, Picture
from pipelines.ocr.rapid import Rapid
from pipelines.ocr.tesseract import Tesseract
from pipelines.ocr.together import together

# Print drawn by a computer is above both, at 0.96 and 1. FUNSD's training scans are below one or both, and on 23 of 25
# of them RapidOCR finds more of the words.
MIN_CONFIDENCE = 0.93
MIN_SURE_WORDS = 0.95
SURE = 0.7


class Auto:
    """Tesseract first; where it is not sure of what it read, RapidOCR with its help."""

    def __init__(self) -> None:
        self._fast: OcrEngine = Tesseract()
        self._thorough: OcrEngine | None = None
        self.name, self.version = self._fast.name, self._fast.version

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB; `name` and `version` then say which engine read them."""
        page = self._fast.read(picture)
        self.name, self.version = self._fast.name, self._fast.version
        if is_sure(page):
            return page
        if self._thorough is None:
            self._thorough = Rapid()
        other = self._thorough.read(picture)
        if weight(other) <= weight(page):
            return page
        self.name, self.version = self._thorough.name, f"{self._thorough.version}; {self._fast.version}"
        return together(other, page)


def is_sure(page: OcrPage) -> bool:
    """Whether Tesseract's own confidence says that the page is clean print."""
    if len(page.words) < 5:
        return False
    confidence = page.confidence
    return float(np.mean(confidence)) >= MIN_CONFIDENCE and float(np.mean(confidence >= SURE)) >= MIN_SURE_WORDS


def weight(page: OcrPage) -> float:
    """Characters read, each weighted by the confidence of its word."""
    return float(sum(len(word) * c for word, c in zip(page.words, page.confidence, strict=True)))
