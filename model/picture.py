"""The page picture: JPEG bytes to the pixels the model takes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model.errors import ModelInputError


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
