"""The child process that touches untrusted documents: opens, extracts words, draws pages (PyMuPDF).

Started as `python -m pipelines.pages.reader`; imports nothing heavy, so that a dead child is soon replaced.
Requests: open, read, raster.
"""

from typing import Any

import numpy as np
import pymupdf
import simplejpeg
from numpy.typing import NDArray
from pymupdf import mupdf

from pipelines.children.served import serve, take_limits
from pipelines.pages.hidden import Layers
from pipelines.pages.text_layer import TextLayer, text_layer
from pipelines.pages.trust import trust_text_layer
from pipelines.quarantine import DropError, Reason


class Document:
    """One open document, PDF or picture."""

    def __init__(self, data: bytes, kind: str, passwords: list[str], limits: dict[str, Any]) -> None:
        self.limits = limits
        self._drawn: tuple[int, Any] = (-1, None)
        try:
            self.pdf = pymupdf.open(stream=data, filetype=kind)
            if kind == "pdf" and not self.pdf.is_pdf:  # the library goes by content: a web page, say, by a wrong name
                raise ValueError("is no PDF whatever its name says")
            locked = self.pdf.needs_pass and not any(self.pdf.authenticate(word) for word in ["", *passwords])
            self.pages = 0 if locked else self.pdf.page_count
        except Exception as error:
            raise drop(Reason.BROKEN, error) from None
        if locked:
            raise DropError(Reason.ENCRYPTED, "needs a password")
        if self.pages <= 0:
            raise DropError(Reason.NO_PAGES, "opens, but has no page")
        if self.pages > limits["max_pages"]:
            raise DropError(Reason.TOO_LARGE, f"{self.pages} pages, limit {limits['max_pages']}")

    def page(self, index: int) -> Any:
        """PyMuPDF's page, of a size within the limits."""
        try:
            page = self.pdf[index]
            width, height = page.rect.width, page.rect.height
        except Exception as error:
            raise drop(Reason.PAGE_BROKEN, error) from None
        if (
            not (1 <= width < float("inf") and 1 <= height < float("inf"))
            or max(width, height) > self.limits["max_side"]
        ):
            raise DropError(Reason.TOO_LARGE, f"page of {width:.0f} x {height:.0f} points")
        return page

    def drawn(self, page: Any) -> Any:
        """The page's content as a display list: interpreted once for its words, its picture and its OCR."""
        if self._drawn[0] != page.number:
            self._drawn = page.number, mupdf.fz_new_display_list_from_page(page.this)
        return self._drawn[1]

    def read(self, index: int, long_side: int, quality: int) -> tuple[dict[str, Any], bytes]:
        """Words, boxes and picture of one page."""
        page = self.page(index)
        width, height = page.rect.width, page.rect.height
        try:
            layer = text_layer(self.drawn(page))
            pixmap = draw(self.drawn(page), long_side / max(width, height))
        except Exception as error:
            raise drop(Reason.PAGE_BROKEN, error) from None
        words, boxes, sideways = seen(layer, width, height)
        picture = np.frombuffer(pixmap.samples_mv, np.uint8).reshape(pixmap.height, pixmap.width, 3)
        layers = Layers(self.drawn(page), width, height)
        trusted, detail = trust_text_layer(words, boxes, picture, width, height, layers)
        header = {
            "width": width,
            "height": height,
            "words": words,
            "sideways": sideways.tolist() if sideways.any() else [],
            "image_width": pixmap.width,
            "image_height": pixmap.height,
            "trusted": trusted,
            "detail": detail,
        }
        return header, boxes.tobytes() + simplejpeg.encode_jpeg(picture, quality, colorsubsampling="420")

    def raster(self, index: int, dpi: float, max_pixels: int) -> tuple[dict[str, Any], bytes]:
        """The page as RGB bytes for OCR, at `dpi` or as much as `max_pixels` allow."""
        page = self.page(index)
        scale = min(dpi / 72, (max_pixels / (page.rect.width * page.rect.height)) ** 0.5)
        try:
            pixmap = draw(self.drawn(page), scale)
        except Exception as error:
            raise drop(Reason.PAGE_BROKEN, error) from None
        return {"width": pixmap.width, "height": pixmap.height}, pixmap.samples


def seen(layer: TextLayer, width: float, height: float) -> tuple[list[str], NDArray[np.float32], NDArray[np.int8]]:
    """Words, boxes [N, 4] and directions that are seen on a page of that size: a word whose centre is off it is not."""
    words, places = layer.words, layer.places
    twice = places[:, :2] + places[:, 2:]
    on_page = ((twice >= 0) & (twice <= [2 * width, 2 * height])).all(axis=1)
    if not on_page.all():
        words = [words[place] for place in np.flatnonzero(on_page)]
    if not all(map(str.isprintable, words)):  # half of a surrogate pair, which no text can hold, is not printable
        words = [word.encode("utf-8", "replace").decode() for word in words]
    boxes = np.clip(places[on_page].astype("<f4"), 0, np.array([width, height, width, height], "<f4"))
    return words, boxes, layer.sideways[on_page]


def draw(drawn: Any, scale: float) -> Any:
    """A display list as an RGB pixmap without padding, `scale` pixels a point."""
    matrix = pymupdf.Matrix(scale, scale)
    return pymupdf.DisplayList(drawn).get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=0)


def drop(reason: Reason, error: Exception) -> DropError:
    """Why the PDF library failed: what it says, or that it ran into the limit on memory."""
    text = str(error)
    return DropError(Reason.MEMORY_LIMIT if "malloc" in text or "calloc" in text else reason, text)


class Reader:
    """Answers requests about the document that is open."""

    def __init__(self) -> None:
        self._document: Document | None = None

    def answer(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], Any]:
        """Header and payload of the answer to open, read or raster; raises DropError."""
        if request["do"] == "open":
            self._document = None  # the one before is freed first
            self._document = Document(payload, request["kind"], request["passwords"], request["limits"])
            return {"pages": self._document.pages}, b""
        if self._document is None:
            raise DropError(Reason.INTERNAL, "no document is open")
        pymupdf.TOOLS.reset_mupdf_warnings()
        if request["do"] == "read":
            return self._document.read(request["page"], request["long_side"], request["quality"])
        return self._document.raster(request["page"], request["dpi"], request["max_pixels"])


def main() -> None:
    """Take the limits, then serve."""
    answers = take_limits()
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    serve(answers, Reader().answer, Reason.PAGE_BROKEN)


if __name__ == "__main__":
    main()
