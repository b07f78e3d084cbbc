"""The page picture: from what users and corpora have, to the pixels the model takes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from model.errors import ModelInputError

# A page picture: PIL, uint8 [rows, columns, 3] array, encoded bytes (JPEG, PNG, TIFF), the path of such a file, or a
# PDF page (of PyMuPDF: whatever draws itself with `get_pixmap`).
Picture = Any
PDF_PAGE_DPI = 150


def decode_picture(jpeg: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """A page picture as uint8 [3, height, width], RGB, rows from the top; the page is stretched to fill it.

    The JPEG is decoded at the smallest of its built-in scales that is not below the wanted size, which is several
    times faster than decoding it whole. Raises ModelInputError when the bytes are no readable picture.
    """
    try:
        image = Image.open(io.BytesIO(jpeg))
        image.draft("RGB", (width, height))
        pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ModelInputError(f"the page picture cannot be decoded ({error})") from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def open_picture(picture: Picture) -> Image.Image:
    """RGB and upright, whatever the picture comes as; raises ModelInputError where it cannot be read."""
    try:
        if hasattr(picture, "get_pixmap"):
            pixmap = picture.get_pixmap(dpi=PDF_PAGE_DPI, alpha=False)
            picture = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
        elif isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        elif isinstance(picture, bytes):
            picture = Image.open(io.BytesIO(picture))
        elif isinstance(picture, str | Path):
            picture = Image.open(picture)
        if not isinstance(picture, Image.Image):
            raise ModelInputError(f"a picture is {type(picture).__name__}: give PIL, uint8 array, bytes or a path")
        upright: Image.Image = ImageOps.exif_transpose(picture)
        return _flat(upright)
    except (OSError, TypeError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ModelInputError(f"a picture cannot be read: {error}") from None


def _flat(picture: Image.Image) -> Image.Image:
    """RGB as a corpus build draws the same file: what is transparent on white, 16 bits of grey scaled to 8."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    return page.convert("RGB")
