"""The words of a page: those that came with it, its text layer where that can be trusted, or OCR's."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipelines.ocr.agreement import agreement, is_sampled
from pipelines.ocr.engine import OcrPage, Picture
from pipelines.ocr.upright import turned
from pipelines.pages.coverage import UNCOVERED
from pipelines.pages.isolation import PageReader, twice
from pipelines.pages.page import PageContent
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings, versions

TEXT_LAYER = "text-layer"
# An engine that does not know a script reads it with less mean confidence, and may not overrule a text layer.
SURE = 0.8


class Engine(Protocol):
    """An engine that is out of harm's way: in a child process, or in actors."""

    name: str
    version: str

    def load(self) -> None:
        """Load it; raises UsageError when its package or weights are missing."""
        ...

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB; raises DropError when that fails."""
        ...

    def close(self) -> None:
        """End what it has started."""
        ...


@dataclass(frozen=True)
class Reading:
    """The words of a page and where they are from; N words.

    Attributes:
        content: the page; turned, where OCR found that it lay on its side or stood on its head.
        words: not yet cleaned, in any order.
        boxes: float32 [N, 4] in points of `content`.
        confidence: float32 [N], 0..1.
        text_source: of the contract.
        engine: and version.
        quality: agreement of its text layer with OCR, None where nobody has compared.
        sideways: int8 [N], which way its words run (`PageContent`); None: level.
    """

    content: PageContent
    words: list[str]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    text_source: str
    engine: str
    quality: float | None = None
    sideways: NDArray[np.int8] | None = None


class WordReader:
    """Reads the words of pages.

    Args:
        settings: of the corpus.
        reader: holds the document open.
        engine: for OCR; None: text layers only.
    """

    def __init__(self, settings: CorpusSettings, reader: PageReader, engine: Engine | None) -> None:
        self._settings, self._reader, self._engine = settings, reader, engine

    def read(self, content: PageContent, page: int, page_id: str) -> Reading:
        """The words of page number `page` of the open document.

        Raises:
            DropError: its text layer cannot be trusted and may not be read by OCR, or OCR failed or read poorly.
        """
        if self._engine is None or (self._settings.ocr == "auto" and content.text_layer_trusted):
            if content.words and not content.text_layer_trusted:
                raise DropError(Reason.UNTRUSTED_TEXT, content.trust_detail)
            layer = _text_layer(content)
            if self._engine is None or not is_sampled(page_id, self._settings.agreement_share):
                return layer
            return self._compared(layer, page)
        if self._settings.ocr == "auto" and content.trust_detail == UNCOVERED:
            layer, read = _text_layer(content), self._by_ocr(self._engine, content, page)
            return read if sum(map(len, read.words)) > sum(map(len, layer.words)) else layer
        return self._by_ocr(self._engine, content, page)

    def _compared(self, layer: Reading, page: int) -> Reading:
        """The text layer with its agreement with OCR, or the OCR where that is sure and reads something else."""
        assert self._engine is not None
        try:
            read = self._by_ocr(self._engine, layer.content, page)
        except DropError:  # nothing to compare with says nothing about the text layer
            return layer
        if not read.words:
            return replace(layer, quality=0.0)
        score = agreement(layer.words, read.words)
        other = score < self._settings.min_agreement and float(np.mean(read.confidence)) >= SURE
        return replace(read if other else layer, quality=score)

    def _by_ocr(self, engine: Engine, content: PageContent, page: int) -> Reading:
        try:
            picture = twice(lambda: self._reader.read_raster(page, self._settings.ocr_dpi))
            found = twice(partial(engine.read, picture))
            least = self._settings.min_ocr_confidence
            if len(found.words) and (sure := float(found.confidence.mean())) < least:
                raise DropError(Reason.POOR_OCR, f"mean confidence {sure:.2f} of {len(found.words)} words")
        except DropError as error:
            error.stage = "ocr"
            raise
        content = turned_page(content, found.turns, self._settings.jpeg_quality)
        size = np.array([content.width, content.height] * 2, np.float32)
        return Reading(content, found.words, found.boxes * size, found.confidence, engine.name, engine.version)


def turned_page(content: PageContent, turns: int, quality: int) -> PageContent:
    """A page after so many quarter turns clockwise, its picture encoded again; its text layer is left behind."""
    if turns % 4 == 0:
        return content
    picture = turned(simplejpeg.decode_jpeg(content.image), turns)
    flat: dict[str, Any] = {}
    if turns % 2:
        flat = {
            **{"width": content.height, "height": content.width},
            **{"image_width": content.image_height, "image_height": content.image_width},
        }
    image = simplejpeg.encode_jpeg(picture, quality, colorsubsampling="420")
    return replace(content, image=image, words=[], boxes=np.empty((0, 4), np.float32), sideways=None, **flat)


def _text_layer(content: PageContent) -> Reading:
    ones, engine = np.ones(len(content.words), np.float32), f"pymupdf {versions()['pymupdf']}"
    return Reading(content, content.words, content.boxes, ones, TEXT_LAYER, engine, sideways=content.sideways)
