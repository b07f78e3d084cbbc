"""What an OCR engine is, and the table of those there are."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import UsageError

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class OcrPage:
    """What an engine read on one picture; N words in the engine's order.

    Attributes:
        words: never empty strings.
        boxes: float32 [N, 4], x0, y0, x1, y1 as shares 0..1 of the picture's width and height, origin top left.
        confidence: float32 [N], 0..1.
        turns: quarter turns clockwise after which the picture is as its reader should see it; boxes are of that frame.
        aspect: height of that frame by its width, 1 where nobody has said.
    """

    words: list[str]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    turns: int = 0
    aspect: float = 1.0

    @classmethod
    def of(cls, words: list[str], boxes: Any, confidence: Any) -> "OcrPage":
        """A page from any sequences, boxes clamped to the picture."""
        return cls(
            words,
            np.clip(np.asarray(boxes, np.float32).reshape(-1, 4), 0, 1),
            np.clip(np.asarray(confidence, np.float32).reshape(-1), 0, 1),
        )


class OcrEngine(Protocol):
    """Reads pictures; one object a process, not thread-safe."""

    name: str
    version: str

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB."""
        ...


# Engine, the module and class that implement it, the package it needs.
ENGINES = {
    "tesseract": ("pipelines.ocr.tesseract", "Tesseract", "tesserocr"),
    "rapidocr": ("pipelines.ocr.rapid", "Rapid", "rapidocr"),
    "doctr": ("pipelines.ocr.doctr", "Doctr", "doctr"),
    "auto": ("pipelines.ocr.auto", "Auto", "tesserocr"),
}


def available() -> list[str]:
    """Names of the engines whose package is installed."""
    return [name for name, (_, _, package) in ENGINES.items() if importlib.util.find_spec(package) is not None]


def engine(name: str, **options: Any) -> OcrEngine:
    """The engine `name`, its weights loaded.

    Raises:
        UsageError: there is no such engine, or its package or weights are missing.
    """
    if name not in ENGINES:
        raise UsageError(f"no OCR engine {name!r}: use one of {', '.join(ENGINES)}")
    module, kind, package = ENGINES[name]
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"OCR engine {name!r} needs the package {package!r}: install it, or use another --ocr")
    made: OcrEngine = getattr(importlib.import_module(module), kind)(**options)
    return made
