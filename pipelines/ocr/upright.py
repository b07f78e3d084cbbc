"""Pages that lie on their side or stand on their head: found by reading them, read as they should be seen.

Tesseract's own orientation detection was tried and left out: on a scan of FUNSD it was wrong for one turn of four and
took as long as reading the page.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.ocr.engine import OcrEngine, OcrPage, Picture

MIN_CONFIDENCE = 0.75
MIN_WORDS = 5
MAX_TALL = 0.5
BETTER = 1.3


@dataclass(frozen=True)
class _Read:
    page: OcrPage
    name: str
    version: str


class Upright:
    """Reads a page as it lies; where that reads poorly, also turned, and keeps what reads clearly better.

    Args:
        engine: that reads.
    """

    def __init__(self, engine: OcrEngine) -> None:
        self._engine = engine
        self.name, self.version = engine.name, engine.version

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB, in the frame of the picture after the page's `turns`."""
        best = self._read(picture, 0)
        if looks_turned(best.page) and int(picture.max()) - int(picture.min()) > 30:
            for turns in (2, 1, 3):
                other = self._read(picture, turns)
                if weight(other.page) > BETTER * weight(best.page):
                    best = other
                if not looks_turned(best.page):
                    break
        self.name, self.version = best.name, best.version
        return best.page

    def _read(self, picture: Picture, turns: int) -> _Read:
        page = self._engine.read(turned(picture, turns))
        return _Read(
            replace(page, turns=turns, aspect=_aspect(picture, turns)), self._engine.name, self._engine.version
        )


def _aspect(picture: Picture, turns: int) -> float:
    height, width = picture.shape[:2]
    return float(width / height if turns % 2 else height / width)


def turned(picture: Picture, turns: int) -> Picture:
    """A picture [H, W, 3] after so many quarter turns clockwise."""
    return np.ascontiguousarray(np.rot90(picture, -turns)) if turns % 4 else picture


def looks_turned(page: OcrPage) -> bool:
    """Whether little was read, with little confidence, or along lines that run upwards or downwards."""
    if len(page.words) < MIN_WORDS or np.mean(page.confidence) < MIN_CONFIDENCE:
        return True
    return bool(np.mean(tall_words(page)) > MAX_TALL)


def weight(page: OcrPage) -> float:
    """Characters read along level lines, each by the square of its word's confidence."""
    flat = ~tall_words(page)
    lengths = np.array([len(word) for word in page.words], np.float64)
    sure: float = (lengths * page.confidence**2 * flat).sum()
    return float(sure)


def tall_words(page: OcrPage) -> NDArray[np.bool_]:
    """Which words of three letters and more stand higher than they are wide: bool [N]."""
    size = page.boxes[:, 2:] - page.boxes[:, :2]
    long = np.array([len(word) >= 3 for word in page.words], bool)
    tall: NDArray[np.bool_] = long & (size[:, 1] * page.aspect > size[:, 0])
    return tall
