"""What a changed setting touches: the one table that `corpus update` goes by."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Touches(IntEnum):
    """What has to be done again."""

    NOTHING = 0  # how fast, or how it is cut into shards
    FILTERS = 1  # which pages are taken: decided again from the facts about them
    LABELS = 2  # labels that follow from stored words and boxes
    FAILED = 3  # pages and documents that were quarantined are read again
    OCR_PAGES = 4  # pages that OCR read, was compared with or failed on are read again
    EVERY_PAGE = 5  # every page is read again


TOUCHES = {
    "workers": Touches.NOTHING,
    "shard_pages": Touches.NOTHING,
    "adapter": Touches.NOTHING,  # for the new sources
    "ocr_actors": Touches.NOTHING,
    "ocr_gpus": Touches.NOTHING,
    "ocr_batch_pages": Touches.NOTHING,
    "languages": Touches.FILTERS,
    "min_words": Touches.FILTERS,
    "max_words": Touches.FILTERS,
    "min_confidence": Touches.FILTERS,
    "drop_duplicates": Touches.FILTERS,
    "near_duplicates": Touches.FILTERS,
    "keep_out": Touches.FILTERS,
    "keep_out_share": Touches.FILTERS,
    "grid_rows": Touches.LABELS,
    "grid_columns": Touches.LABELS,
    "grid_anchor": Touches.LABELS,
    "limits": Touches.FAILED,
    "source_limits": Touches.FAILED,
    "password_file": Touches.FAILED,
    "ocr_dpi": Touches.OCR_PAGES,
    "max_raster_pixels": Touches.OCR_PAGES,  # of `limits`; where OCR runs it is noted by itself
    "min_ocr_confidence": Touches.OCR_PAGES,
    "min_agreement": Touches.OCR_PAGES,
    "doctr_detection": Touches.OCR_PAGES,
    "doctr_recognition": Touches.OCR_PAGES,
    "doctr_weights": Touches.OCR_PAGES,
    "versions.rapidocr": Touches.OCR_PAGES,
    "versions.tesserocr": Touches.OCR_PAGES,
    "versions.python-doctr": Touches.OCR_PAGES,
    "ocr": Touches.EVERY_PAGE,
    "agreement_share": Touches.EVERY_PAGE,
    "provided_words": Touches.EVERY_PAGE,
    "image_long_side": Touches.EVERY_PAGE,
    "jpeg_quality": Touches.EVERY_PAGE,
    "schema_version": Touches.EVERY_PAGE,
    "reading_order": Touches.EVERY_PAGE,
    "trust": Touches.EVERY_PAGE,
    "versions.pymupdf": Touches.EVERY_PAGE,
    "versions.simplejpeg": Touches.EVERY_PAGE,
    "versions.py3langid": Touches.EVERY_PAGE,
}


OURS = ("schema-version", "reading-order", "trust")  # no settings: of the program


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Touches]:
    """The settings and versions that differ, each with what it touches; one not in the table touches every page."""
    flat_before, flat_after = _flat(before), _flat(after)
    names = sorted(flat_before.keys() | flat_after.keys())
    return {
        name: TOUCHES.get(name, Touches.EVERY_PAGE) for name in names if flat_before.get(name) != flat_after.get(name)
    }


def table() -> str:
    """The table in words, for the command's help."""
    words = {
        Touches.FILTERS: "pages are chosen again, and only those that were left out and are wanted now are read",
        Touches.LABELS: "labels are computed again from the stored boxes, nothing is read",
        Touches.FAILED: "what was quarantined is read again",
        Touches.OCR_PAGES: "pages that OCR read, was compared with or failed on are read again",
        Touches.EVERY_PAGE: "every page is read again",
    }
    lines = []
    for touches, text in words.items():
        names = [name.replace("_", "-") for name in TOUCHES if TOUCHES[name] == touches and "." not in name]
        lines.append(f"  {', '.join(name for name in names if name not in OURS)}:\n    {text}")
    return "\n".join(lines)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in settings.items() if name != "versions"}
    return flat | {f"versions.{name}": version for name, version in settings.get("versions", {}).items()}
