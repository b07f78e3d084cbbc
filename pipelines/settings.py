"""Settings of a corpus build, and the fingerprint of those that can change a row."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipelines.corpus.shards import file_sha256
from pipelines.errors import UsageError
from pipelines.labels.grid import MAX_CELLS
from pipelines.labels.languages import refusal
from pipelines.labels.reading_order import VERSION as ORDER
from pipelines.ocr.doctr import weights_file
from pipelines.pages.isolation import ReaderLimits
from pipelines.pages.trust import VERSION as TRUST
from pipelines.schema import SCHEMA_VERSION
from pipelines.sources.adapters import adapter_of
from pipelines.sources.limits import SourceLimits

# Settings that change how fast or within which limits a build runs, not what a row holds.
NOT_IN_FINGERPRINT = frozenset(
    {"ocr_actors", "ocr_gpus", "ocr_batch_pages", "workers", "shard_pages", "limits", "source_limits", "password_file"}
)
# Settings that say which pages are taken, not what their rows hold.
FILTERS = frozenset(
    {
        *("languages", "min_words", "max_words", "min_confidence"),
        *("drop_duplicates", "near_duplicates", "keep_out", "keep_out_share"),
    }
)


class CorpusSettings(BaseModel):
    """What a corpus build does with each document; `docformer corpus build` has a flag for each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ocr: Literal["auto", "text-layer", "rapidocr", "doctr", "tesseract"] = Field(
        "auto",
        description="engine that reads pages: auto takes a text layer that proves trustworthy, else the best OCR "
        "engine; text-layer never runs OCR; an engine's name reads every page with it",
    )
    ocr_dpi: int = Field(200, ge=50, le=600, description="resolution at which a page is drawn for OCR, dots an inch")
    min_ocr_confidence: float = Field(
        0.5, ge=0, le=1, description="mean word confidence below which a page read by OCR is quarantined, 0..1"
    )
    agreement_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the pages with a trusted text layer that ocr auto also reads by OCR to compare, 0..1",
    )
    min_agreement: float = Field(
        0.5, ge=0, le=1, description="agreement of such a page's text layer with OCR below which the OCR is taken, 0..1"
    )
    ocr_actors: int = Field(
        0, ge=0, description="Ray actors that read for ocr doctr; 0: as many as the GPUs hold, none without a GPU"
    )
    ocr_gpus: float = Field(0.5, ge=0, le=1, description="share of a GPU that each of them takes; 0: the CPU")
    ocr_batch_pages: int = Field(8, ge=1, le=256, description="pages that each of them reads at once")
    doctr_detection: str = Field("fast_base", description="docTR's detection network, for ocr doctr")
    doctr_recognition: str = Field("crnn_vgg16_bn", description="docTR's recognition network, for ocr doctr")
    doctr_weights: str = Field(
        "", description="folder with the weights of both as NAME.pt; empty: docTR's own, from its cache or its download"
    )
    image_long_side: int = Field(768, ge=64, le=4096, description="long side of the stored page picture, pixels")
    jpeg_quality: int = Field(80, ge=1, le=95, description="quality of the stored page picture, 1..95")
    grid_rows: int = Field(4, ge=1, le=256, description="rows of the token-to-grid labels")
    grid_columns: int = Field(4, ge=1, le=256, description="columns of the token-to-grid labels")
    grid_anchor: Literal["top-left", "centre"] = Field(
        "top-left", description="point of a word's box that says its cell: top-left or centre"
    )
    languages: tuple[str, ...] = Field(
        (), description="keep pages in these languages only, such as en de (und: too little text to tell); none: all"
    )
    min_words: int = Field(1, ge=1, description="leave out pages with fewer words")
    max_words: int = Field(0, ge=0, description="leave out pages with more words; 0: no limit")
    min_confidence: float = Field(0.0, ge=0, le=1, description="leave out pages of a lower mean word confidence, 0..1")
    drop_duplicates: bool = Field(False, description="leave out a page with the same words as another page")
    near_duplicates: float = Field(
        0.0, ge=0, le=1, description="leave out a page that shares this part of its five-word runs with another; 0: no"
    )
    keep_out: tuple[str, ...] = Field(
        (), description="evaluation pages to keep out: corpus folders, or .txt, .jsonl or .parquet lists of page texts"
    )
    keep_out_share: float = Field(
        0.5, gt=0, le=1, description="share of a page's eight-word runs found in the keep_out pages that leaves it out"
    )
    adapter: Literal["none", "safedocs", "govdocs1", "pdfa-eng-wds", "idl-wds", "arxiv", "pmc-oa"] = Field(
        "none", description="public corpus whose layout the sources have: its licences, digests and words come along"
    )
    provided_words: bool = Field(
        True,
        description="take the words and boxes that a document of such a corpus brings instead of reading its pages",
    )
    shard_pages: int = Field(256, ge=1, description="pages of one Parquet shard, about")
    workers: int = Field(0, ge=0, description="reading processes at once; 0: one a CPU of the cluster")
    password_file: str = Field(
        "", description="text file of passwords, one a line, tried in order on documents that need one"
    )
    limits: ReaderLimits = Field(ReaderLimits(), description="limits on reading one untrusted document")
    source_limits: SourceLimits = Field(SourceLimits(), description="limits on archives, and patience with remote ones")

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [why for code in value if (why := refusal(code))]:
            raise ValueError(wrong[0])
        return value

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        if self.grid_rows * self.grid_columns > MAX_CELLS:
            raise ValueError(
                f"a grid of {self.grid_rows} x {self.grid_columns} has {self.grid_rows * self.grid_columns} cells, "
                f"at most {MAX_CELLS} are allowed; lower grid_rows or grid_columns"
            )
        return self

    def engine_options(self) -> dict[str, str | int]:
        """Arguments of the OCR engine's constructor."""
        if self.ocr != "doctr":
            return {}
        return {
            "detection": self.doctr_detection,
            "recognition": self.doctr_recognition,
            "weights": self.doctr_weights,
            "batch_pages": self.ocr_batch_pages,
        }

    def passwords(self) -> list[str]:
        """The lines of `password_file`; raises UsageError where it cannot be read."""
        if not self.password_file:
            return []
        path = Path(self.password_file).expanduser()
        try:
            return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise UsageError(f"password_file {path}: {why}; give a text file with one password a line") from None

    def row_settings(self) -> dict[str, object]:
        """The settings and versions that can change a row, as plain JSON values."""
        apart = NOT_IN_FINGERPRINT | FILTERS
        chosen = {name: value for name, value in self.model_dump(mode="json").items() if name not in apart}
        if not (self.provided_words and adapter_of(self.adapter).brings_words):
            del chosen["adapter"], chosen["provided_words"]
        if self.ocr != "auto":
            del chosen["agreement_share"], chosen["min_agreement"]
        if self.ocr != "doctr":
            chosen = {name: value for name, value in chosen.items() if not name.startswith("doctr_")}
        elif self.doctr_weights:  # what the files hold counts, not where they are
            files = (weights_file(self.doctr_weights, name) for name in (self.doctr_detection, self.doctr_recognition))
            chosen["doctr_weights"] = [file_sha256(file) if file.is_file() else "" for file in files]
        if self.ocr in ("auto", "text-layer"):
            chosen["trust"] = TRUST
        # The one limit by which a page is read otherwise and not left out, OCR sees it smaller; named where changed.
        pixels = self.limits.max_raster_pixels
        if self.ocr != "text-layer" and pixels != ReaderLimits().max_raster_pixels:
            chosen["max_raster_pixels"] = pixels
        return {**chosen, "reading_order": ORDER, "schema_version": SCHEMA_VERSION, "versions": versions()}

    def filter_settings(self) -> dict[str, object]:
        """The settings that say which pages are taken, as plain JSON values."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in FILTERS}

    def fingerprint(self) -> str:
        """Hex sha256 of the canonical JSON of `row_settings` (contract, `fingerprint`)."""
        text = json.dumps(self.row_settings(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def versions() -> Mapping[str, str]:
    """Versions of the libraries whose output is in a row."""
    names = ("pymupdf", "simplejpeg", "rapidocr", "tesserocr", "python-doctr", "py3langid")
    return {name: metadata.version(name) for name in names}
