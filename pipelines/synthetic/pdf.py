"""Drawn pages to the bytes of a PDF with a text layer; the same pages give the same bytes."""

from collections.abc import Sequence

import pymupdf

from pipelines.synthetic.fonts import BASE_FONTS
from pipelines.synthetic.sheet import Sheet


def pdf_bytes(sheets: Sequence[Sheet]) -> bytes:
    """Write the pages as one PDF."""
    with pymupdf.open() as pdf:
        fonts = _fonts(pdf)
        for sheet in sheets:
            width, height = sheet.media_size
            page = pdf.new_page(width=width, height=height)
            content = pdf.get_new_xref()
            pdf.update_object(content, "<<>>")
            pdf.update_stream(content, sheet.content())
            pdf.xref_set_key(page.xref, "Contents", f"{content} 0 R")
            pdf.xref_set_key(page.xref, "Resources", f"<</Font {fonts} 0 R>>")
            if sheet.rotation:
                pdf.xref_set_key(page.xref, "Rotate", str(sheet.rotation))
        return bytes(pdf.tobytes(no_new_id=True))


def _fonts(pdf: pymupdf.Document) -> int:
    """The fonts' dictionary, one object shared by all pages; fonts that no page uses cost a line each."""
    rows = []
    for name, base in BASE_FONTS.items():
        font = pdf.get_new_xref()
        pdf.update_object(font, f"<</Type/Font/Subtype/Type1/BaseFont/{base}/Encoding/WinAnsiEncoding>>")
        rows.append(f"/{name} {font} 0 R")
    fonts = pdf.get_new_xref()
    pdf.update_object(fonts, f"<<{' '.join(rows)}>>")
    return int(fonts)
