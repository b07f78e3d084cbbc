"""Documents that the tests make: plain ones, and ones that harm a careless reader."""

import zlib
from collections.abc import Callable, Sequence

import pymupdf

from pipelines.synthetic.locked import assemble

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


def page_of(content: str, box: str = "0 0 400 600", filters: str = "") -> list[bytes]:
    """Objects of a PDF whose one page has this content, already packed as `filters` say."""
    return [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents 4 0 R>>".encode(),
        f"<</Length {len(content)}{filters}>>\nstream\n{content}\nendstream".encode("latin-1"),
    ]


def million_pages() -> bytes:
    """A page tree of ten objects that counts a million pages."""
    levels = [f"<</Type/Pages/Count {10 ** (6 - level)}/Kids[{f'{3 + level} 0 R ' * 10}]>>" for level in range(6)]
    return assemble([b"<</Type/Catalog/Pages 2 0 R>>", *map(str.encode, levels), page_of("")[2]])


def nested_compression(levels: int = 4, size: int = 64 << 20) -> bytes:
    """A page's content of `size` spaces, packed again and again to about a kilobyte."""
    pack = zlib.compressobj(9)
    data = b"".join(pack.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + pack.flush()
    for _ in range(levels - 1):
        data = zlib.compress(data, 9)
    return assemble(page_of(data.decode("latin-1"), filters=f"/Filter[{'/FlateDecode ' * levels}]"))


def endless_xref() -> bytes:
    """Cross-reference tables that each name themselves as the one before."""
    data = assemble(page_of("BT ET"))
    place = data.rindex(b"xref\n0") if b"xref\n0" in data else data.rindex(b"xref")
    return data.replace(b"trailer\n<<", b"trailer\n<</Prev %d" % place).replace(
        b"trailer<<", b"trailer<</Prev %d" % place
    )


def deep_objects(depth: int = 200_000) -> bytes:
    """A page whose resources are arrays in arrays."""
    objects = page_of("BT ET")
    objects[2] = objects[2][:-2] + b"/Resources" + b"[" * depth + b"]" * depth + b">>"
    return assemble(objects)


def deep_forms(depth: int = 5000) -> bytes:
    """A form in a form in a form, each an object of its own."""
    objects = page_of("/A Do")
    objects[2] = objects[2][:-2] + b"/Resources<</XObject<</A 5 0 R>>>>>>"
    form = "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A {} 0 R>>>>/Length 5>>"
    return assemble(
        [
            *objects,
            *(form.format(level).encode() + b"\nstream\n/A Do\nendstream" for level in [*range(6, 5 + depth), 5]),
        ]
    )


def deep_pages(depth: int = 20_000) -> bytes:
    """A page tree of one branch, `depth` levels deep."""
    levels = [f"<</Type/Pages/Count 1/Kids[{3 + level} 0 R]/Parent {max(2, 1 + level)} 0 R>>" for level in range(depth)]
    return assemble([b"<</Type/Catalog/Pages 2 0 R>>", *map(str.encode, levels), b"<</Type/Page/MediaBox[0 0 9 9]>>"])


def deep_state(depth: int = 3_000_000) -> bytes:
    """A page that saves the graphics state again and again."""
    return assemble(page_of("q " * depth))


def huge_box() -> bytes:
    """A page of ten million points a side."""
    return assemble(page_of("", box="0 0 10000000 10000000"))


BOMBS: dict[str, Callable[[], bytes]] = {
    "million pages": million_pages,
    "nested compression": nested_compression,
    "endless xref": endless_xref,
    "deep objects": deep_objects,
    "deep forms": deep_forms,
    "deep pages": deep_pages,
    "deep state": deep_state,
    "huge box": huge_box,
    "giant image": lambda: bomb(12_000),
    "endless forms": endless,
}
