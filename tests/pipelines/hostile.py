"""Documents that the tests make: plain ones, and ones that harm a careless reader."""

import zlib
from collections.abc import Sequence

import pymupdf

TEXT = "the quick brown fox jumps over the lazy dog and runs to the river"


def plain(pages: Sequence[str] = (TEXT,), width: float = 400, height: float = 600) -> bytes:
    """A born-digital PDF, one page a text."""
    with pymupdf.open() as pdf:
        for text in pages:
            sheet = pdf.new_page(width=width, height=height)
            sheet.insert_textbox((40, 40, width - 40, height - 40), text, fontsize=12)
        return bytes(pdf.tobytes())


def encrypted(password: str) -> bytes:
    """A PDF that opens with `password` only."""
    with pymupdf.open() as pdf:
        pdf.new_page().insert_text((50, 50), "secret")
        return bytes(pdf.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw="owner"))


def endless(pages: int = 1, levels: int = 12) -> bytes:
    """A PDF whose first page draws 10 ** levels rectangles through forms that draw forms; the others are plain."""
    with pymupdf.open(stream=plain([TEXT] * pages)) as pdf:
        form = "<</Type/XObject/Subtype/Form/BBox[0 0 400 600]/Resources<</XObject<</A {} 0 R>>>>>>"
        below = 0
        for level in range(levels):
            xref = pdf.get_new_xref()
            pdf.update_object(xref, form.format(below) if level else form.replace("/A {} 0 R", ""))
            pdf.update_stream(xref, b"/A Do " * 10 if level else b"1 1 200 200 re f " * 10)
            below = xref
        pdf.xref_set_key(pdf[0].xref, "Resources", f"<</XObject<</A {below} 0 R>>>>")
        pdf.update_stream(pdf[0].get_contents()[0], b"/A Do")
        return bytes(pdf.tobytes())


def bomb(side: int) -> bytes:
    """A small PDF with an image of side x side grey pixels."""
    with pymupdf.open(stream=plain()) as pdf:
        xref = pdf.get_new_xref()
        pdf.update_object(
            xref,
            f"<</Type/XObject/Subtype/Image/Width {side}/Height {side}/BitsPerComponent 8/ColorSpace/DeviceGray"
            "/Filter/FlateDecode>>",
        )
        pack = zlib.compressobj(9)
        line = bytes(range(256)) * (side // 256 + 1)
        data = b"".join(pack.compress(line[:side]) for _ in range(side)) + pack.flush()
        pdf.update_stream(xref, data, compress=False)
        pdf.xref_set_key(xref, "Filter", "/FlateDecode")
        pdf.xref_set_key(pdf[0].xref, "Resources", f"<</XObject<</B {xref} 0 R>>>>")
        content = pdf[0].get_contents()[0]
        pdf.update_stream(content, b"q 400 0 0 600 0 0 cm /B Do Q")
        return bytes(pdf.tobytes())
