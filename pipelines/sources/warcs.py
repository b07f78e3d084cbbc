"""Records of a WARC that hold fetched files, each by the byte range of its record, compressed or not."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from pipelines.quarantine import DropError, Reason
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.places import BLOCK, open_ranges
from pipelines.sources.sniff import PDF_HEAD, sniff
from pipelines.sources.zips import inflate

GZIP = b"\x1f\x8b"
HEAD = 1 << 16  # bytes in which a record's headers must end
HOLDS_FILES = ("response", "resource", "conversion")


def warc_members(archive: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """The records of a WARC whose payload is a fetched file, in order; `member` is the address it was fetched from.

    The whole archive is read once, since its records say where they end only when they are read; a manifest with
    `offset` and `length` columns spares that. A record that is no document by its first bytes is marked so. Damage ends
    the archive there: records before it are given, then one refused file.

    Raises:
        OSError: the archive cannot be read.
    """
    healthy = 0
    with open_ranges(archive.path, limits) as file:
        packed = file.peek(2)[:2] == GZIP
        at, size = 0, file.seek(0, 2)
        while at < size:
            file.seek(at)
            try:
                head, length = _gzipped_record(file, limits) if packed else _plain_record(file)
                if at + length > size + 4:  # the empty lines at the very end may be missing
                    raise EOFError("the record ends too early")
                record = Record.parse(head)
            except (zlib.error, EOFError, ValueError) as error:
                text = f"{error}; from byte {at} on nothing could be read, {healthy} records before it were"
                yield replace(archive, reason=str(Reason.ARCHIVE_BROKEN), detail=text)
                return
            if record.kind in HOLDS_FILES and record.status in (0, 200):
                member = replace(archive, member=record.address, offset=at, length=length, size=length, packing="warc")
                other = not record.encodings and not sniff(member.name, record.body(head)[:PDF_HEAD])
                yield replace(member, other=other)
            at, healthy = at + length, healthy + 1


def _gzipped_record(file: BinaryIO, limits: SourceLimits) -> tuple[bytes, int]:
    """The first bytes of the gzip member that begins here, and its length in compressed bytes."""
    unpack = zlib.decompressobj(31)
    head, out, used = bytearray(), 0, 0
    while not unpack.eof:
        source = unpack.unconsumed_tail or file.read(BLOCK)
        if not source:
            raise EOFError("the record ends too early")
        used += len(source) if not unpack.unconsumed_tail else 0
        piece = unpack.decompress(source, BLOCK)
        out += len(piece)
        head += piece[: HEAD - len(head)]
        if out > limits.max_archive_bytes:
            raise ValueError(f"the record unpacks to more than {limits.max_archive_bytes} bytes")
    return bytes(head), used - len(unpack.unused_data)


def _plain_record(file: BinaryIO) -> tuple[bytes, int]:
    """The first bytes of the record that begins here, and its length."""
    head = file.read(HEAD)
    record = Record.parse(head)
    return head[: record.start + record.length], record.start + record.length + 4


@dataclass(frozen=True)
class Record:
    """What the headers of a record say.

    Attributes:
        kind: of the record: response, resource, request ...
        address: that it was fetched from.
        start: byte at which the record's block begins.
        length: of the block.
        status: of the HTTP answer, 0 where the block is the file itself.
        payload: byte at which the file begins.
        encodings: of the HTTP body that still apply.
    """

    kind: str
    address: str
    start: int
    length: int
    status: int
    payload: int
    encodings: tuple[str, ...]

    @classmethod
    def parse(cls, head: bytes) -> "Record":
        """From the first bytes of a record, uncompressed; raises ValueError when they are none."""
        if not head.startswith(b"WARC/"):
            raise ValueError("no WARC record begins there")
        fields, start = _headers(head, 0)
        length = int(fields.get("content-length", ""))
        if length < 0:
            raise ValueError("a record of negative length")
        status, payload, encodings = 0, start, ""
        if fields.get("content-type", "").startswith("application/http") and head.startswith(b"HTTP/", start):
            answer, payload = _headers(head, start)
            status = int(([*head[start:payload].split(None, 2), b"0", b"0"])[1])
            encodings = f"{answer.get('content-encoding', '')},{answer.get('transfer-encoding', '')}"
        known = (word.strip().lower() for word in encodings.split(","))
        return cls(
            kind=fields.get("warc-type", ""),
            address=fields.get("warc-target-uri", "").strip("<>"),
            start=start,
            length=length,
            status=status,
            payload=payload,
            encodings=tuple(word for word in known if word and word != "identity"),
        )

    def body(self, record: bytes) -> bytes:
        """The part of the uncompressed record that is the HTTP body, or the file itself."""
        return record[self.payload : self.start + self.length]


def _headers(data: bytes, start: int) -> tuple[dict[str, str], int]:
    """Header fields by their lower-case names, and the byte after the empty line."""
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        raise ValueError("headers without an end")
    lines = data[start:end].decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, end + 4


def unpack_warc(stored: bytes, limits: SourceLimits) -> bytes:
    """The fetched file in a record's stored bytes.

    Raises:
        DropError: damaged, or more than the limits.
    """
    record = inflate(stored, limits, raw=False)[0] if stored.startswith(GZIP) else stored
    try:
        parsed = Record.parse(record)
        if len(record) < parsed.start + parsed.length:
            raise ValueError("the record ends too early")
        body = parsed.body(record)
        for encoding in reversed(parsed.encodings):
            body = _decode(body, encoding, limits)
    except ValueError as error:
        raise DropError(Reason.ARCHIVE_BROKEN, str(error)) from None
    return body


def _decode(body: bytes, encoding: str, limits: SourceLimits) -> bytes:
    if encoding == "chunked":
        # Many writers keep the header and store the body already joined.
        return _joined(body) or body
    if encoding in ("gzip", "x-gzip"):
        return inflate(body, limits, raw=False)[0] if body.startswith(GZIP) else body
    raise ValueError(f"HTTP encoding {encoding} is not read")


def _joined(body: bytes) -> bytes:
    """The chunks of a body in one, empty when it is not made of chunks."""
    parts: list[bytes] = []
    at = 0
    while (end := body.find(b"\r\n", at, at + 64)) >= 0:
        try:
            length = int(body[at:end].split(b";")[0], 16)
        except ValueError:
            return b""
        if length <= 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b""
