"""What a file is by its bytes, never by its name alone (contract, "Rules": found)."""

PDF_HEAD = 1024


def sniff(name: str, data: bytes) -> str | None:
    """Kind of a document: "pdf", "png", "jpeg" or "tiff", or None for other files.

    A PDF ends in .pdf or holds `%PDF-` in its first 1,024 bytes; pictures are told by their signatures.
    """
    if b"%PDF-" in data[:PDF_HEAD]:
        return "pdf"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"II*\x00", b"MM\x00*")):
        return "tiff"
    return "pdf" if name.lower().endswith(".pdf") else None
