"""Untrusted documents are read in a child process with limits; a crash, hang or bomb costs one page or document."""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pipelines.children.child import Child
from pipelines.pages.page import PageContent
from pipelines.quarantine import DropError, Reason

Value = TypeVar("Value")


class ReaderLimits(BaseModel):
    """Limits on reading one untrusted document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page_timeout_s: float = Field(60.0, gt=0, description="wall time for one page or for opening a document, seconds")
    page_cpu_s: float = Field(20.0, gt=0, description="processor time for the same, seconds, rounded up to whole ones")
    ocr_timeout_s: float = Field(180.0, gt=0, description="wall time for reading one page by OCR, seconds")
    memory_bytes: int = Field(4 << 30, ge=1 << 28, description="address space of the reading child, bytes")
    max_pages: int = Field(10_000, ge=1, description="pages of one document")
    max_side: float = Field(100_000.0, gt=0, description="longest side of a page, points")
    max_bytes: int = Field(1 << 30, ge=1, description="bytes of one document")
    max_raster_pixels: int = Field(25_000_000, ge=1, description="pixels of a page drawn for OCR")
    documents_per_child: int = Field(500, ge=1, description="documents after which the child is replaced")


class PageReader:
    """Reads documents in one reusable child process; not thread-safe.

    Args:
        limits: what one document may cost.
        image_long_side: long side of the stored page picture, pixels.
        jpeg_quality: 1..95.
        passwords: tried in their order on a document that needs one.
    """

    def __init__(
        self, limits: ReaderLimits, image_long_side: int, jpeg_quality: int, passwords: Sequence[str] = ()
    ) -> None:
        self.limits, self.long_side, self.quality = limits, image_long_side, jpeg_quality
        self._passwords = tuple(passwords)
        self._child = Child("pipelines.pages.reader", limits.memory_bytes)
        self._opened = 0
        self._document: tuple[bytes, str] | None = None
        self._held = False  # whether the child holds `_document` open
        self._ahead: int | None = None  # page that was asked for ahead of its turn
        self._came: tuple[dict[str, Any], bytes] | DropError | None = None  # its answer, where it had to be taken

    def open(self, document: bytes, kind: str) -> int:
        """Open a document of `kind` (pdf, png, jpeg or tiff) and return its page count.

        Raises:
            DropError: it cannot be opened within the limits.
        """
        if len(document) > self.limits.max_bytes:
            raise DropError(Reason.TOO_LARGE, f"{len(document)} bytes, limit {self.limits.max_bytes}")
        self._settle()
        self._ahead = self._came = None
        self._document = (document, kind)
        self._held = False
        if self._opened >= self.limits.documents_per_child:
            self.close()
        return self._open()

    def _open(self) -> int:
        assert self._document is not None
        data, kind = self._document
        self._opened = self._opened + 1 if self._child.pid is not None else 1
        request = {"do": "open", "kind": kind, "passwords": self._passwords, "limits": self.limits.model_dump()}
        header, _ = self._ask(request, data)
        self._held = True
        return int(header["pages"])

    def read(self, page_index: int, ahead: int | None = None) -> PageContent:
        """Words, boxes and picture of one page of the open document.

        Args:
            page_index: of the page.
            ahead: page that is likely to be read next: the child reads it while this process goes on.

        Raises:
            DropError: the page cannot be read within the limits.
        """
        header, body = self._taken() if self._ahead == page_index else self._ask_page(self._reading(page_index))
        if ahead is not None and self._held and self._child.pid is not None:
            self._send_ahead(ahead)
        words = [str(word) for word in header["words"]]
        size = 16 * len(words)
        return PageContent(
            width=float(header["width"]),
            height=float(header["height"]),
            words=words,
            boxes=np.frombuffer(body[:size], "<f4").reshape(-1, 4).astype(np.float32),
            image=body[size:],
            image_width=int(header["image_width"]),
            image_height=int(header["image_height"]),
            text_layer_trusted=bool(header["trusted"]),
            trust_detail=str(header["detail"]),
            sideways=np.array(header["sideways"], np.int8) if header["sideways"] else None,
        )

    def read_raster(self, page_index: int, dpi: float) -> NDArray[np.uint8]:
        """The page drawn for OCR: uint8 [H, W, 3] RGB at `dpi`, or smaller to stay within the pixel limit."""
        header, body = self._ask_page(
            {"do": "raster", "page": page_index, "dpi": dpi, "max_pixels": self.limits.max_raster_pixels}
        )
        return np.frombuffer(body, np.uint8).reshape(int(header["height"]), int(header["width"]), 3)

    def _reading(self, page_index: int) -> dict[str, Any]:
        return {"do": "read", "page": page_index, "long_side": self.long_side, "quality": self.quality}

    def _send_ahead(self, page_index: int) -> None:
        self._ahead, self._came = page_index, None
        try:
            self._child.send(self._limited(self._reading(page_index)), b"", self.limits.page_timeout_s)
        except DropError as error:
            self._came = error

    def _settle(self) -> None:
        """Take the answer of the page asked for ahead, so that something else can be asked."""
        if self._child.waits:
            try:
                self._came = self._child.answer()
            except DropError as error:
                self._came = error

    def _taken(self) -> tuple[dict[str, Any], bytes]:
        """The answer of the page asked for ahead."""
        self._settle()
        came, self._ahead, self._came = self._came, None, None
        assert came is not None
        if isinstance(came, DropError):
            raise came
        return came

    def _ask_page(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        self._settle()
        if not self._held or self._child.pid is None:  # the child was replaced since
            self._open()
        return self._ask(request, b"")

    def _ask(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return self._child.ask(self._limited(request), payload, self.limits.page_timeout_s)

    def _limited(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**request, "cpu_s": self.limits.page_cpu_s}

    @property
    def child_pid(self) -> int | None:
        """Process id of the reading child, None while there is none."""
        return self._child.pid

    def close(self) -> None:
        """End the child; the next request starts a new one."""
        self._held = False
        self._ahead = self._came = None
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def twice(work: Callable[[], Value]) -> Value:
    """`work`, once more after a timeout or the child's death, alone: neither need be the page's doing.

    A busy machine is late, and when its memory runs out the kernel ends a child of its choice.
    """
    try:
        return work()
    except DropError as error:
        if error.reason not in (Reason.TIMEOUT, Reason.CRASHED):
            raise
        return work()
