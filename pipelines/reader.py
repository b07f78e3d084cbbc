"""The child process that touches untrusted documents: opens, extracts words, draws pages (PyMuPDF). `python -m pipelines.reader`.

Reads request frames on standard input, answers on the file descriptor given as its argument. It sets its own limits on
address space, dies with its parent, and imports nothing heavy. Requests: open, read, raster.
"""

import ctypes
import io
import os
import resource
import signal
import sys
from typing import Any

import numpy as np
import pymupdf
from PIL import Image

from pipelines.frames import FrameError, pack, read_frame, write_all
from pipelines.quarantine import DropError, Reason
from pipelines.trust import trust_text_layer

PR_SET_PDEATHSIG = 1
Image.MAX_IMAGE_PIXELS = 300_000_000
EXTRACT = pymupdf.TEXT_PRESERVE_LIGATURES | pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_CID_FOR_UNKNOWN_UNICODE


class Document:
    """One open document, PDF or picture."""

    def __init__(self, data: bytes, kind: str, passwords: list[str], limits: dict[str, Any]) -> None:
        self.limits = limits
        try:
            self.pdf = pymupdf.open(stream=data, filetype="pdf" if kind == "pdf" else kind)
        except Exception as error:
            raise DropError(Reason.BROKEN, str(error)) from None
        if self.pdf.needs_pass and not any(self.pdf.authenticate(word) for word in ["", *passwords]):
            raise DropError(Reason.ENCRYPTED, "needs a password")
        self.pages = self.pdf.page_count
        if self.pages <= 0:
            raise DropError(Reason.NO_PAGES, "opens, but has no page")
        if self.pages > limits["max_pages"]:
            raise DropError(Reason.TOO_LARGE, f"{self.pages} pages, limit {limits['max_pages']}")

    def page(self, index: int) -> Any:
        try:
            page = self.pdf[index]
            width, height = page.rect.width, page.rect.height
        except Exception as error:
            raise DropError(Reason.PAGE_BROKEN, str(error)) from None
        if (
            not (1 <= width < float("inf") and 1 <= height < float("inf"))
            or max(width, height) > self.limits["max_side"]
        ):
            raise DropError(Reason.TOO_LARGE, f"page of {width:.0f} x {height:.0f} points")
        return page

    def draw(self, page: Any, scale: float) -> Any:
        try:
            return page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False, colorspace=pymupdf.csRGB)
        except Exception as error:
            raise DropError(Reason.PAGE_BROKEN, str(error)) from None

    def read(self, index: int, long_side: int, quality: int) -> tuple[dict[str, Any], bytes]:
        """Words, boxes and picture of one page."""
        page = self.page(index)
        width, height = page.rect.width, page.rect.height
        try:
            found = page.get_text("words", flags=EXTRACT)
        except Exception as error:
            raise DropError(Reason.PAGE_BROKEN, str(error)) from None
        words, boxes = [], []
        for x0, y0, x1, y1, word, *_ in found:
            # A word whose centre is off the page is not seen on it.
            if 0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height:
                words.append(word)
                boxes.append((max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)))
        pixmap = self.draw(page, long_side / max(width, height))
        picture = Image.frombuffer("RGB", (pixmap.width, pixmap.height), pixmap.samples, "raw", "RGB", pixmap.stride, 1)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        array = np.asarray(boxes, "<f4").reshape(-1, 4)
        trusted, detail = trust_text_layer(words, array, picture, width, height)
        header = {
            "width": width,
            "height": height,
            "words": [word.encode("utf-8", "replace").decode() for word in words],
            "image_width": pixmap.width,
            "image_height": pixmap.height,
            "trusted": trusted,
            "detail": detail,
        }
        return header, array.tobytes() + out.getvalue()

    def raster(self, index: int, dpi: float, max_pixels: int) -> tuple[dict[str, Any], bytes]:
        """The page as RGB bytes for OCR, at `dpi` or as much as `max_pixels` allow."""
        page = self.page(index)
        scale = min(dpi / 72, (max_pixels / (page.rect.width * page.rect.height)) ** 0.5)
        pixmap = self.draw(page, scale)
        return {"width": pixmap.width, "height": pixmap.height}, bytes(pixmap.samples)


def serve(answers: int) -> None:
    """Answer requests until the parent goes away."""
    document: Document | None = None
    limits: dict[str, Any] = {}
    while True:
        try:
            request, payload = read_frame(0)
        except FrameError:
            return
        try:
            header, body = {}, b""
            if request["do"] == "open":
                limits, document = request["limits"], None
                document = Document(payload, request["kind"], request["passwords"], limits)
                header = {"pages": document.pages}
            elif document is None:
                raise DropError(Reason.INTERNAL, "no document is open")
            elif request["do"] == "read":
                header, body = document.read(request["page"], request["long_side"], request["quality"])
            else:
                header, body = document.raster(request["page"], request["dpi"], request["max_pixels"])
        except DropError as error:
            header, body = {"reason": error.reason, "detail": error.detail}, b""
        except MemoryError:
            header, body = {"reason": Reason.MEMORY_LIMIT, "detail": "out of its address space"}, b""
        except Exception as error:  # whatever a hostile file provokes costs this page only
            header, body = {"reason": Reason.PAGE_BROKEN, "detail": f"{type(error).__name__}: {error}"}, b""
        pymupdf.TOOLS.reset_mupdf_warnings()
        write_all(answers, pack(header, body))


def main() -> None:
    """Set limits, then serve."""
    answers, parent, memory = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    serve(answers)


if __name__ == "__main__":
    main()
