"""Files that must be quarantined, each for a known reason: broken, locked, empty, blank, huge, mislabelled."""

import random
import zlib
from collections.abc import Callable

from pipelines.quarantine import Reason
from pipelines.synthetic.letters import draw_letter
from pipelines.synthetic.locked import assemble, locked_pdf
from pipelines.synthetic.pdf import pdf_bytes
from pipelines.synthetic.phrases import BUSINESS
from pipelines.synthetic.style import A4
from pipelines.synthetic.writer import Writer


def _truncated(rng: random.Random) -> bytes:
    """The first few hundred bytes of a PDF: the catalog is there, the pages are not."""
    return pdf_bytes(draw_letter(rng))[: rng.randint(80, 100)]


def _zero_pages(rng: random.Random) -> bytes:
    return _assemble(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 0/Kids[]>>"], rng)


def _blank(rng: random.Random) -> bytes:
    """One page with a frame on it and no word."""
    frame = f"{rng.randint(20, 90)} {rng.randint(20, 90)} {rng.randint(200, 400)} {rng.randint(200, 600)} re S"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {A4[0]:g} {A4[1]:g}]/Contents 4 0 R>>",
        f"<</Length {len(frame)}>>\nstream\n{frame}\nendstream",
    ]
    return _assemble(objects, rng)


def _wrong_extension(rng: random.Random) -> bytes:
    """A note that was renamed to a PDF."""
    return Writer(rng).sentences(BUSINESS, 3).encode()


def _loop(rng: random.Random) -> bytes:
    """A page tree that is its own branch."""
    return _assemble(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 1/Parent 2 0 R/Kids[2 0 R]>>"], rng)


def _bomb(rng: random.Random) -> bytes:
    """One page whose few kilobytes unpack to tens of megabytes, and say nothing."""
    packed = zlib.compress(bytes([10]) * (24 << 20), 9)
    return assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>",
            b"<</Length %d/Filter/FlateDecode>>\nstream\n%b\nendstream" % (len(packed), packed),
        ],
        comment=f"{rng.getrandbits(64):016x}",
    )


def _giant_page(rng: random.Random) -> bytes:
    """A page of hundreds of metres."""
    side = rng.randint(900_000, 2_000_000)
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {side} {side}]>>",
    ]
    return _assemble(objects, rng)


def _garbage(rng: random.Random) -> bytes:
    """A PDF's first line and then noise."""
    return b"%PDF-1.7\n" + rng.randbytes(rng.randint(500, 3000))


def _locked(rng: random.Random) -> bytes:
    """Needs a password that nobody has."""
    writer = Writer(rng)
    return locked_pdf(writer.sentences(BUSINESS, 1), writer.code(), rng.randbytes(16))


def _zeros(rng: random.Random) -> bytes:
    """Nothing but zero bytes, as a crashed disk leaves them."""
    return bytes(rng.randint(1000, 9000))


def _assemble(objects: list[str], rng: random.Random) -> bytes:
    """A PDF; a comment makes each one a file of its own."""
    return assemble([body.encode() for body in objects], comment=f"{rng.getrandbits(64):016x}")


HOSTILE: tuple[tuple[str, Callable[[random.Random], bytes], Reason], ...] = (
    ("truncated", _truncated, Reason.BROKEN),
    ("locked", _locked, Reason.ENCRYPTED),
    ("zero-pages", _zero_pages, Reason.NO_PAGES),
    ("blank", _blank, Reason.NO_TEXT),
    ("wrong-extension", _wrong_extension, Reason.BROKEN),
    ("loop", _loop, Reason.PAGE_BROKEN),
    ("giant-page", _giant_page, Reason.TOO_LARGE),
    ("garbage", _garbage, Reason.BROKEN),
    ("bomb", _bomb, Reason.NO_TEXT),
    ("zeros", _zeros, Reason.BROKEN),
)
"""What is wrong with the file, how it is made, and the reason with which it or its only page is to be quarantined."""
