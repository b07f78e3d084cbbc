"""Members of a zip, each by the byte range that it has in the archive; nothing is unpacked to disk."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pipelines.quarantine import DropError, Reason
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.names import unsafe
from pipelines.sources.places import open_ranges

HEADER = struct.Struct("<4s5H3I2H")  # signature, version, flags, method, time, date, crc, sizes, lengths
SIGNATURE = b"PK\x03\x04"
ENCRYPTED, SIZES_FOLLOW, UTF8 = 1, 8, 1 << 11
STORED, DEFLATED = 0, 8


def zip_members(archive: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """The members of a zip in the order of their bytes.

    A member's range begins at its local header and ends where the next structure begins; `unpack_zip` makes it exact.
    Members that overlap (the ratio bomb without nesting), claim too much, are encrypted or links are refused by name.
    A zip without its directory is read from the front up to the damage, which is one refused file of its own.

    Raises:
        OSError: the archive cannot be read.
    """
    with open_ranges(archive.path, limits) as file:
        try:
            with zipfile.ZipFile(file) as opened:
                infos = sorted(opened.infolist(), key=lambda info: info.header_offset)
                end = opened.start_dir
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, UnicodeError) as error:
            yield from _from_the_front(archive, file, str(error), limits)
            return
    for number, info in enumerate(infos):
        following = infos[number + 1].header_offset if number + 1 < len(infos) else end
        if info.is_dir():
            continue
        member = replace(
            archive,
            member=info.filename,
            offset=info.header_offset,
            length=following - info.header_offset,
            size=info.file_size,
            packing="zip",
        )
        reason, detail = _refused(info, member.length, limits)
        yield replace(member, reason=str(reason or ""), detail=detail)


def most_bytes(packed: int, limits: SourceLimits) -> int:
    """Bytes that `packed` compressed ones may become."""
    return min(limits.max_member_bytes, max(limits.free_bytes, int(limits.max_ratio * packed)))


def _refused(info: zipfile.ZipInfo, room: int, limits: SourceLimits) -> tuple[Reason | None, str]:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if detail := unsafe(info.orig_filename):
        return Reason.UNSAFE_MEMBER, detail
    if kind and not stat.S_ISREG(kind):
        return Reason.UNSAFE_MEMBER, "is a link or device"
    if HEADER.size + info.compress_size > room:
        return Reason.ARCHIVE_BOMB, "its bytes overlap those of another member"
    if info.file_size > most_bytes(info.compress_size, limits):
        return Reason.ARCHIVE_BOMB, f"{info.compress_size} bytes claim to unpack to {info.file_size}"
    if info.flag_bits & ENCRYPTED:
        return Reason.ENCRYPTED, "the archive's member needs a password"
    if info.compress_type not in (STORED, DEFLATED):
        return Reason.UNREADABLE, f"compression method {info.compress_type}; stored and deflated members are read"
    return None, ""


def _from_the_front(archive: SourceFile, file: BinaryIO, error: str, limits: SourceLimits) -> Iterator[SourceFile]:
    """Members by their local headers as far as these go, then the damage as a refused file."""
    size, at, healthy = file.seek(0, 2), 0, 0
    while True:
        file.seek(at)
        head = file.read(HEADER.size)
        if len(head) < HEADER.size or not head.startswith(SIGNATURE):
            break
        _, _, flags, method, _, _, _, packed, unpacked, name_length, extra = HEADER.unpack(head)
        length = HEADER.size + name_length + extra + packed
        if flags & SIZES_FOLLOW or packed == 0xFFFFFFFF or at + length > size:
            break
        name = file.read(name_length).decode("utf-8" if flags & UTF8 else "cp437", "replace")
        info = zipfile.ZipInfo(name)
        info.flag_bits, info.compress_type, info.compress_size = flags, method, packed
        info.file_size = unpacked
        reason, detail = _refused(info, length, limits)
        if not name.endswith("/"):
            place = {"offset": at, "length": length, "size": unpacked}
            yield replace(archive, member=name, packing="zip", **place, reason=str(reason or ""), detail=detail)
        at, healthy = at + length, healthy + 1
    yield replace(
        archive,
        reason=str(Reason.ARCHIVE_BROKEN),
        detail=f"{error}; from byte {at} on nothing could be read, {healthy} members before it were",
    )


def unpack_zip(file: SourceFile, stored: bytes, limits: SourceLimits) -> tuple[SourceFile, bytes]:
    """The member whose range, from its local header on, is `stored`; and its address made exact.

    A stored member's address becomes that of its bytes themselves. A deflated one's, and that of a stored one which
    itself begins like a header, begins at the local header: a range that does not is the document as it is.

    Raises:
        DropError: the range holds no such member, is damaged, or unpacks to more than the limits.
    """
    if len(stored) < HEADER.size or not stored.startswith(SIGNATURE):
        raise DropError(Reason.ARCHIVE_BROKEN, "its local header is missing")
    _, _, flags, method, _, _, crc, packed, _, name_length, extra = HEADER.unpack_from(stored)
    start = HEADER.size + name_length + extra
    body = stored[start:]
    if method == DEFLATED:
        data, used = inflate(body, limits, raw=True)
    else:
        # A size that follows the data is in the directory only, and `file.size` has it from there.
        follows = bool(flags & SIZES_FOLLOW) or packed == 0xFFFFFFFF
        used = packed if not follows else file.size if file.size >= 0 else len(body)
        data = body[:used]
        if len(data) < used:
            raise DropError(Reason.ARCHIVE_BROKEN, f"{len(data)} of {used} bytes are there")
    if not flags & SIZES_FOLLOW and zlib.crc32(data) != crc:
        raise DropError(Reason.ARCHIVE_BROKEN, "its checksum does not match")
    if method == STORED and not data.startswith(SIGNATURE):
        return replace(file, offset=file.offset + start, length=used, packing="", size=used), data
    return replace(file, length=start + used, size=len(data)), data


def inflate(body: bytes, limits: SourceLimits, raw: bool) -> tuple[bytes, int]:
    """`body` decompressed (deflate when `raw`, else one gzip member) and the bytes of it that this took.

    Raises:
        DropError: damaged, or more than the limits allow.
    """
    unpack = zlib.decompressobj(-15 if raw else 31)
    most = most_bytes(len(body), limits)
    try:
        data = unpack.decompress(body, most + 1)
    except zlib.error as error:
        raise DropError(Reason.ARCHIVE_BROKEN, str(error)) from None
    if len(data) > most:
        raise DropError(Reason.ARCHIVE_BOMB, f"{len(body)} bytes unpack to more than {most}")
    if not unpack.eof:
        raise DropError(Reason.ARCHIVE_BROKEN, "its compressed bytes end too early")
    return data, len(body) - len(unpack.unused_data)
