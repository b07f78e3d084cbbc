"""A unit of work (pages of one document) to rows: read, OCR where needed, label, or quarantine with a reason."""

import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.isolation import PageReader, twice
from pipelines.labels import LabelledPage, label_page
from pipelines.language import identify
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.page import PageContent
from pipelines.quarantine import DropError, Reason
from pipelines.schema import page_id
from pipelines.settings import CorpusSettings, versions
from pipelines.sources.address import SourceFile
from pipelines.sources.archives import read_document, read_words
from pipelines.sources.provided import ProvidedWords

Row = dict[str, Any]
TEXT_LAYER = "text-layer"
PROVIDED = "provided"


class PageMaker:
    """Turns pages into rows in one worker process; holds its reading child and, once needed, its OCR child."""

    def __init__(self, settings: CorpusSettings) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint()
        self.reader = PageReader(settings.limits, settings.image_long_side, settings.jpeg_quality, settings.passwords())
        self.engine: IsolatedEngine | None = None
        if settings.ocr != TEXT_LAYER:
            self.engine = IsolatedEngine(settings.ocr, settings.engine_options(), settings.limits.ocr_timeout_s)

    def rows(self, unit: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
        """Page rows and quarantine rows of a unit; every one of its pages is in exactly one of the two."""
        settings = self.settings
        taken: list[Row] = []
        dropped: list[Row] = []
        started = time.monotonic()
        try:
            address = SourceFile.of(unit)
            data = read_document(address, settings.source_limits, settings.limits.max_bytes)[1]
            if hashlib.sha256(data).hexdigest() != unit["doc_id"]:
                raise DropError(Reason.UNREADABLE, "the file changed while the corpus was built")
            twice(lambda: self.reader.open(data, unit["kind"]))
        except (OSError, DropError) as error:
            drop = error if isinstance(error, DropError) else DropError(Reason.UNREADABLE, str(error))
            spent = time.monotonic() - started
            return [], [
                quarantine_row(unit, page, "open", drop, spent, settings.ocr)
                for page in range(unit["first"], unit["end"])
            ]
        given = self._given(address, unit["pages"])
        for page in range(unit["first"], unit["end"]):
            started = time.monotonic()
            try:
                taken.append(self._row(unit, page, given[page]))
            except DropError as error:
                dropped.append(quarantine_row(unit, page, error.stage, error, time.monotonic() - started, settings.ocr))
            except Exception as error:  # an error of ours costs one page, is on record, and not the build
                drop = DropError(Reason.INTERNAL, f"{type(error).__name__}: {error}")
                dropped.append(quarantine_row(unit, page, "label", drop, time.monotonic() - started, settings.ocr))
        return taken, dropped

    def _given(self, address: SourceFile, pages: int) -> Sequence[ProvidedWords | None]:
        """The words that the document brings for each page; none where it brings them for another number of pages."""
        settings = self.settings
        if not settings.provided_words:
            return [None] * pages
        words = read_words(address, settings.source_limits, settings.limits.max_bytes)
        return words if len(words) == pages else [None] * pages

    def _row(self, unit: Mapping[str, Any], page: int, given: ProvidedWords | None) -> Row:
        content = twice(lambda: self.reader.read(page))
        labelled, text_source, version = self.label(content, page, given, unit.get("adapter", ""))
        if not labelled.words:
            raise DropError(Reason.NO_TEXT, stage="label")
        return {
            "page_id": page_id(unit["doc_id"], page),
            "doc_id": unit["doc_id"],
            "source": source_of(unit),
            "page_index": page,
            "page_count": unit["pages"],
            "width": content.width,
            "height": content.height,
            "image": content.image,
            "image_width": content.image_width,
            "image_height": content.image_height,
            "words": labelled.words,
            "boxes": labelled.boxes.tolist(),
            "confidence": labelled.confidence.tolist(),
            "line_ids": labelled.line_ids.tolist(),
            "grid_cells": labelled.grid_cells.tolist(),
            "text_source": text_source,
            "engine": version,
            "language": identify(labelled.words),
            "quality": None,
            "fingerprint": self.fingerprint,
        }

    def label(
        self, content: PageContent, page: int, given: ProvidedWords | None = None, adapter: str = ""
    ) -> tuple[LabelledPage, str, str]:
        """The words of a page of the document that `reader` holds open, read by OCR where needed, and labelled.

        Args:
            content: the page as read.
            page: its number.
            given: words that the document brings along, which then are the page's.
            adapter: that they come from.

        Returns:
            the labelled page, its `text_source` and its `engine`.

        Raises:
            DropError: its text layer cannot be trusted and may not be read by OCR, or OCR failed or read poorly.
        """
        settings = self.settings
        if given is not None:
            size = np.array([content.width, content.height] * 2, np.float32)
            words, boxes, confidence, text_source, version = (
                *(given.words, given.boxes * size, given.confidence),
                *(PROVIDED, adapter),
            )
        else:
            words, boxes, confidence, text_source, version = self._words(content, page)
        labelled = label_page(
            words,
            boxes,
            content.width,
            content.height,
            confidence,
            settings.grid_rows,
            settings.grid_columns,
            settings.grid_anchor,
        )
        return labelled, text_source, version

    def _words(self, content: PageContent, page: int) -> tuple[list[str], Any, Any, str, str]:
        choice = self.settings.ocr
        if self.engine is None or (choice == "auto" and content.text_layer_trusted):
            if content.words and not content.text_layer_trusted:
                raise DropError(Reason.UNTRUSTED_TEXT, content.trust_detail)
            ones = np.ones(len(content.words), np.float32)
            return content.words, content.boxes, ones, TEXT_LAYER, f"pymupdf {versions()['pymupdf']}"
        try:
            picture = twice(lambda: self.reader.read_raster(page, self.settings.ocr_dpi))
            read = twice(partial(self.engine.read, picture))
            if len(read.words) and float(read.confidence.mean()) < self.settings.min_ocr_confidence:
                raise DropError(
                    Reason.POOR_OCR, f"mean confidence {read.confidence.mean():.2f} of {len(read.words)} words"
                )
        except DropError as error:
            error.stage = "ocr"
            raise
        size = np.array([content.width, content.height] * 2, np.float32)
        return read.words, read.boxes * size, read.confidence, self.engine.name, self.engine.version

    def close(self) -> None:
        """End the children."""
        self.reader.close()
        if self.engine is not None:
            self.engine.close()


def source_of(document: Mapping[str, Any]) -> Row:
    """The contract's `source` struct of an inventory record."""
    return SourceFile.of(document).as_source()


def quarantine_row(
    document: Mapping[str, Any], page: int | None, stage: str, drop: DropError, seconds: float, ocr: str
) -> Row:
    """A row of the quarantine table; `page` None for a whole document; `ocr` the engine setting that met it."""
    origin = document.get("origin") or str(document["path"])
    again = f"docformer corpus build {shlex.quote(origin)} --out again --ocr {ocr}"
    if document.get("adapter", "none") != "none":
        again += f" --adapter {document['adapter']}"
    return {
        "doc_id": document["doc_id"] or None,
        "source": source_of(document),
        "page_index": page,
        "stage": stage,
        "reason": str(drop.reason),
        "detail": drop.detail,
        "seconds": seconds,
        "command": again,
    }
