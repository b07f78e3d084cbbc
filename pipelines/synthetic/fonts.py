"""The three built-in font families: names, and widths and heights of their glyphs as the PDF library measures them."""

from dataclasses import dataclass
from functools import cache

import pymupdf

ENCODING = "cp1252"  # of every text drawn; PDF calls it WinAnsiEncoding


@dataclass(frozen=True)
class Family:
    """Short names of a family's fonts."""

    regular: str
    bold: str
    italic: str


HELVETICA = Family("helv", "hebo", "heit")
TIMES = Family("tiro", "tibo", "tiit")
COURIER = Family("cour", "cobo", "coit")

BASE_FONTS = {
    "helv": "Helvetica",
    "hebo": "Helvetica-Bold",
    "heit": "Helvetica-Oblique",
    "tiro": "Times-Roman",
    "tibo": "Times-Bold",
    "tiit": "Times-Italic",
    "cour": "Courier",
    "cobo": "Courier-Bold",
    "coit": "Courier-Oblique",
}


@dataclass(frozen=True)
class Metrics:
    """Of a font at size 1: `ascender` above and `descender` below the baseline, both positive; 256 advance widths."""

    ascender: float
    descender: float
    widths: tuple[float, ...]


@cache
def metrics(font: str) -> Metrics:
    """Measures of a font by its short name."""
    measured = pymupdf.Font(font)
    widths = [measured.glyph_advance(ord(bytes([code]).decode(ENCODING, "replace"))) for code in range(256)]
    return Metrics(measured.ascender, -measured.descender, tuple(widths))


def text_width(text: str, font: str, size: float) -> float:
    """Advance width of `text` in points."""
    widths = metrics(font).widths
    return size * sum(widths[code] for code in text.encode(ENCODING))
