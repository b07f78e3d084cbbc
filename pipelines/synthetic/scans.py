"""Pages as a scanner sees them: skewed, noisy, blurred, grey, and without a text layer."""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipelines.synthetic.truth import PageTruth

MAX_SKEW_DEGREES = 2.0
FORMATS = ("pdf", "png", "jpg", "tiff")


def scan(rng: random.Random, pdf: bytes, pages: Sequence[PageTruth], suffix: str) -> tuple[bytes, list[PageTruth]]:
    """Scan a document.

    Args:
        rng: decides the damage.
        pdf: with a text layer.
        pages: its truth.
        suffix: pdf (of pictures), png, jpg or tiff; png and jpg hold the first page alone.

    Returns:
        The file's bytes, and the truth with boxes around the turned words.
    """
    dpi = rng.choice([120, 150, 150])
    pictures, truths = [], []
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        for index in range(1 if suffix in ("png", "jpg") else len(pages)):
            degrees = rng.uniform(-MAX_SKEW_DEGREES, MAX_SKEW_DEGREES)
            pixmap = document[index].get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY, alpha=False)
            clean = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
            pictures.append(_damage(rng, clean, degrees))
            truths.append(turned(pages[index], degrees, (clean.width * 72 / dpi, clean.height * 72 / dpi)))
    return _file(pictures, truths, suffix, dpi, rng.randint(40, 85)), truths


def _damage(rng: random.Random, picture: Image.Image, degrees: float) -> Image.Image:
    """Turn clockwise about the centre, blur, lower the contrast, add noise and specks."""
    paper = rng.randint(215, 250)
    picture = picture.rotate(-degrees, Image.Resampling.BILINEAR, fillcolor=255)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    grey = np.asarray(picture, np.float32)
    ink = rng.uniform(20, 90)
    grey = ink + grey * ((paper - ink) / 255)
    noise = np.random.default_rng(rng.getrandbits(32))
    grey += noise.standard_normal(grey.shape, np.float32) * rng.uniform(2, 9)
    for _ in range(rng.randint(0, 40)):
        x, y = rng.randrange(grey.shape[1] - 3), rng.randrange(grey.shape[0] - 3)
        grey[y : y + rng.randint(1, 3), x : x + rng.randint(1, 3)] = ink
    if rng.random() < 0.4:
        # The shadow of the lid along one side.
        reach = rng.randint(6, 30)
        grey[:, :reach] *= np.linspace(rng.uniform(0.3, 0.7), 1, reach, dtype=np.float32)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def turned(page: PageTruth, degrees: float, size: tuple[float, float]) -> PageTruth:
    """The page's truth after a clockwise turn about its centre: boxes around the words, cut at the page's edge.

    Args:
        page: before the turn.
        degrees: of the turn.
        size: width and height of the page's picture in points.
    """
    slope = math.tan(math.radians(degrees))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centre = np.array([page.width / 2, page.height / 2])
    corners = page.boxes.astype(np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] - centre
    corners = corners @ np.array([[cos, sin], [-sin, cos]]) + centre
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    limit = np.array([*size, *size])
    clipped: NDArray[np.float32] = np.clip(boxes, 0, limit).astype(np.float32)
    return replace(page, width=size[0], height=size[1], rotation=0, skew=slope, boxes=clipped)


def _file(pictures: list[Image.Image], truths: list[PageTruth], suffix: str, dpi: int, quality: int) -> bytes:
    if suffix == "pdf":
        with pymupdf.open() as pdf:
            for picture, truth in zip(pictures, truths, strict=True):
                page = pdf.new_page(width=truth.width, height=truth.height)
                page.insert_image(page.rect, stream=_encoded(picture, "JPEG", quality=quality))
            return bytes(pdf.tobytes(no_new_id=True))
    if suffix == "jpg":
        return _encoded(pictures[0], "JPEG", quality=quality, dpi=(dpi, dpi))
    if suffix == "png":
        return _encoded(pictures[0], "PNG", dpi=(dpi, dpi), compress_level=1)
    first, *rest = pictures
    return _encoded(
        first, "TIFF", dpi=(dpi, dpi), compression="jpeg", quality=quality, save_all=True, append_images=rest
    )


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
