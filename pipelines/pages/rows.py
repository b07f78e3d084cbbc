"""A unit of work (pages of one document) to rows: read, OCR where needed, label, or quarantine with a reason."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.labels.language import identify
from pipelines.labels.page_labels import LabelledPage, label_page
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.ocr.pool_ray import pooled
from pipelines.pages.isolation import PageReader, twice
from pipelines.pages.page import PageContent
from pipelines.pages.readings import TEXT_LAYER, Engine, Reading, WordReader
from pipelines.quarantine import DropError, Reason
from pipelines.schema import page_id
from pipelines.settings import CorpusSettings
from pipelines.sources.address import SourceFile
from pipelines.sources.archives import read_document, read_words
from pipelines.sources.names import quoted
from pipelines.sources.provided import ProvidedWords

Row = dict[str, Any]
PROVIDED = "provided"


class PageMaker:
    """Turns pages into rows in one worker process; holds its reading child and, once needed, its OCR child.

    Args:
        settings: of the corpus.
        actors: of the pool (`ocr_pool`) that reads in place of the OCR child, started under `pool_key`; 0: none.
    """

    def __init__(self, settings: CorpusSettings, actors: int = 0) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint()
        self.reader = PageReader(settings.limits, settings.image_long_side, settings.jpeg_quality, settings.passwords())
        self.engine: Engine | None = None
        if settings.ocr != TEXT_LAYER:
            timeout_s = settings.limits.ocr_timeout_s
            alone = IsolatedEngine(settings.ocr, settings.engine_options(), timeout_s)
            self.engine = pooled(pool_key(settings), actors, alone, timeout_s) if actors else alone
        self._words = WordReader(settings, self.reader, self.engine)

    def rows(self, unit: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
        """Page rows and quarantine rows of a unit; every one of its pages is in exactly one of the two.

        Boxes, confidence, line ids and grid cells of a page row are arrays (`pipelines.pages.table`).
        """
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
        ahead = page + 1 if page + 1 < unit["end"] else None
        content = twice(lambda: self.reader.read(page, ahead))
        identity = page_id(unit["doc_id"], page)
        if given is None:
            reading = self._words.read(content, page, identity)
        else:
            size = np.array([content.width, content.height] * 2, np.float32)
            origin = (PROVIDED, unit.get("adapter", ""))
            reading = Reading(content, given.words, given.boxes * size, given.confidence, *origin)
        labelled = self._labelled(reading)
        content = reading.content
        if not labelled.words:
            raise DropError(Reason.NO_TEXT, stage="label")
        return {
            "page_id": identity,
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
            "boxes": labelled.boxes,
            "confidence": labelled.confidence,
            "line_ids": labelled.line_ids,
            "grid_cells": labelled.grid_cells,
            "text_source": reading.text_source,
            "engine": reading.engine,
            "language": identify(labelled.words),
            "quality": reading.quality,
            "fingerprint": self.fingerprint,
        }

    def label(self, content: PageContent, page: int) -> tuple[LabelledPage, PageContent]:
        """The words of a page of the document that `reader` holds open, read by OCR where needed, and labelled.

        Args:
            content: the page as read.
            page: its number.

        Returns:
            the labelled page, and the page itself as its reader should see it, turned where OCR found it lying.

        Raises:
            DropError: its text layer cannot be trusted and may not be read by OCR, or OCR failed or read poorly.
        """
        reading = self._words.read(content, page, page_id("", page))
        return self._labelled(reading), reading.content

    def _labelled(self, reading: Reading) -> LabelledPage:
        settings = self.settings
        return label_page(
            reading.words,
            reading.boxes,
            reading.content.width,
            reading.content.height,
            reading.confidence,
            settings.grid_rows,
            settings.grid_columns,
            settings.grid_anchor,
            reading.sideways,
        )

    def close(self) -> None:
        """End the children."""
        self.reader.close()
        if self.engine is not None:
            self.engine.close()


def pool_key(settings: CorpusSettings) -> str:
    """The name under which a build starts the actors that read for it."""
    return f"ocr-{settings.fingerprint()[:16]}"


def source_of(document: Mapping[str, Any]) -> Row:
    """The contract's `source` struct of an inventory record."""
    return SourceFile.of(document).as_source()


def quarantine_row(
    document: Mapping[str, Any], page: int | None, stage: str, drop: DropError, seconds: float, ocr: str
) -> Row:
    """A row of the quarantine table; `page` None for a whole document; `ocr` the engine setting that met it."""
    origin = document.get("origin") or str(document["path"])
    again = f"docformer corpus build {quoted(origin)} --out again --ocr {ocr}"
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
