"""A unit of work (pages of one document) to rows: read, OCR where needed, label, or quarantine with a reason."""

import hashlib
import shlex
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pipelines.isolation import PageReader, twice
from pipelines.labels import LabelledPage, label_page
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.page import PageContent
from pipelines.quarantine import DropError, Reason
from pipelines.schema import page_id
from pipelines.settings import CorpusSettings, versions

Row = dict[str, Any]
TEXT_LAYER = "text-layer"


class PageMaker:
    """Turns pages into rows in one worker process; holds its reading child and, once needed, its OCR child."""

    def __init__(self, settings: CorpusSettings) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint()
        self.reader = PageReader(settings.limits, settings.image_long_side, settings.jpeg_quality)
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
            with open(unit["path"], "rb") as file:
                data = file.read()
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
        for page in range(unit["first"], unit["end"]):
            started = time.monotonic()
            try:
                taken.append(self._row(unit, page))
            except DropError as error:
                dropped.append(quarantine_row(unit, page, error.stage, error, time.monotonic() - started, settings.ocr))
            except Exception as error:  # an error of ours costs one page, is on record, and not the build
                drop = DropError(Reason.INTERNAL, f"{type(error).__name__}: {error}")
                dropped.append(quarantine_row(unit, page, "label", drop, time.monotonic() - started, settings.ocr))
        return taken, dropped

    def _row(self, unit: Mapping[str, Any], page: int) -> Row:
        settings = self.settings
        content = twice(lambda: self.reader.read(page))
        labelled, text_source, version = self.label(content, page)
        if len(labelled.words) < settings.min_words:
            raise DropError(Reason.NO_TEXT, f"{len(labelled.words)} of at least {settings.min_words} words", "label")
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
            "language": "",
            "quality": None,
            "fingerprint": self.fingerprint,
        }

    def label(self, content: PageContent, page: int) -> tuple[LabelledPage, str, str]:
        """The words of a page of the document that `reader` holds open, read by OCR where needed, and labelled.

        Returns:
            the labelled page, its `text_source` and its `engine`.

        Raises:
            DropError: its text layer cannot be trusted and may not be read by OCR, or OCR failed or read poorly.
        """
        settings = self.settings
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
    return {
        "uri": document["uri"],
        "member": None,
        "offset": 0,
        "length": document["size"],
        "corpus": "",
        "licence": "",
    }


def quarantine_row(
    document: Mapping[str, Any], page: int | None, stage: str, drop: DropError, seconds: float, ocr: str
) -> Row:
    """A row of the quarantine table; `page` None for a whole document; `ocr` the engine setting that met it."""
    again = f"docformer corpus build {shlex.quote(str(document['path']))} --out again --ocr {ocr}"
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
