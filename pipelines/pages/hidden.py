"""Is a page a picture whose text layer nobody sees: letters drawn invisibly, or drawn first and then covered?"""

from typing import Any

from pymupdf import mupdf

EVERYWHERE = mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE)
UPRIGHT = mupdf.FzMatrix()
COVERED = 0.8  # of a page, by pictures: a scan


class Layers:
    """What of a page is a picture, and whether its text is over or under that.

    Args:
        drawn: the page's display list.
        width: of the page in points.
        height: of the page in points.
    """

    def __init__(self, drawn: Any, width: float, height: float) -> None:
        self._drawn, self._size = drawn, (width, height)

    def is_picture(self) -> bool:
        """Whether pictures cover the page, as those of a scan do; costs a page of text next to nothing."""
        return bool(self._ran(_Images(*self._size)).covered >= COVERED)

    def text_is_hidden(self) -> bool:
        """Whether most letters are hidden: drawn invisibly, or covered by such a picture."""
        seen = self._ran(_Letters(*self._size))
        return bool(seen.hidden > seen.shown)

    def _ran(self, device: Any) -> Any:
        mupdf.fz_run_display_list(self._drawn, device, UPRIGHT, EVERYWHERE, mupdf.FzCookie())
        mupdf.fz_close_device(device)
        return device


class _Images(mupdf.FzDevice2):  # type: ignore[misc]
    """Adds up what pictures cover: `covered`, a share of the page."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height, self.covered = width, height, 0.0
        self.use_virtual_fill_image()
        self.use_virtual_fill_image_mask()

    def share(self, matrix: Any) -> float:
        """Of the page, for a picture that `matrix` makes out of the unit square."""
        a, b, c, d, x, y = matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f
        wide = min(self.width, x + max(a, 0) + max(c, 0)) - max(0, x + min(a, 0) + min(c, 0))
        tall = min(self.height, y + max(b, 0) + max(d, 0)) - max(0, y + min(b, 0) + min(d, 0))
        return float(max(wide, 0) * max(tall, 0) / (self.width * self.height))

    def fill_image(self, _context: Any, _image: Any, matrix: Any, *_look: Any) -> None:
        """A picture."""
        self.covered += self.share(matrix)

    def fill_image_mask(self, _context: Any, _image: Any, matrix: Any, *_look: Any) -> None:
        """A picture of one colour, as black and white scans are."""
        self.covered += self.share(matrix)


class _Letters(_Images):
    """Counts letters, `shown` and `hidden`; what is shown becomes hidden by an opaque picture over the page."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(width, height)
        self.shown = self.hidden = 0
        self.use_virtual_fill_text()
        self.use_virtual_stroke_text()
        self.use_virtual_ignore_text()

    def fill_image(self, _context: Any, _image: Any, matrix: Any, alpha: float, *_look: Any) -> None:
        """A picture; over most of the page it hides what was there."""
        if alpha == 1 and self.share(matrix) >= COVERED:
            self.shown, self.hidden = 0, self.hidden + self.shown

    def fill_text(self, _context: Any, text: Any, *_look: Any) -> None:
        """Letters that are seen."""
        self.shown += _letters(text)

    def stroke_text(self, _context: Any, text: Any, *_look: Any) -> None:
        """Outlines that are seen."""
        self.shown += _letters(text)

    def ignore_text(self, _context: Any, text: Any, *_look: Any) -> None:
        """Letters that are not drawn."""
        self.hidden += _letters(text)


def _letters(text: Any) -> int:
    count, span = 0, text.head
    while span:
        count, span = count + span.len, span.next
    return int(count)
