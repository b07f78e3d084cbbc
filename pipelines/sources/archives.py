"""Archives as sources of files: which kinds there are, what they may cost in all, and a member's bytes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.quarantine import DropError, Reason
from pipelines.sources.adapters import adapter_of
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.names import archive_kind, hidden, of_text
from pipelines.sources.places import place_of
from pipelines.sources.provided import ProvidedWords
from pipelines.sources.tars import read_tar_gz, tar_gz_members, tar_members
from pipelines.sources.warcs import unpack_warc, warc_members
from pipelines.sources.zips import SIGNATURE, unpack_zip, zip_members

MEMBERS: Mapping[str, Callable[[SourceFile, SourceLimits], Iterator[SourceFile]]] = {
    "zip": zip_members,
    "tar": tar_members,
    "tar.gz": tar_gz_members,
    "warc": warc_members,
}


def members(archive: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """The files in an archive; hidden ones are passed over.

    An archive inside an archive is not opened: it is refused as `nested-archive`, so that nobody loses its documents
    unseen, and no chain of archives costs more than its first. An archive that cannot be read at all is one refused
    file, as is what comes after the limits on one archive.
    """
    kind = archive_kind(archive.name)
    count = total = 0
    try:
        for member in MEMBERS[kind](archive, limits):
            if member.member and kind != "warc" and hidden(member.member):
                continue
            if not member.reason and kind != "warc" and archive_kind(member.member):
                detail = "an archive in an archive is not opened; unpack it and name it as a SOURCE"
                member = replace(member, reason=str(Reason.NESTED_ARCHIVE), detail=detail)
            count, total = count + 1, total + max(0, member.size)
            if count > limits.max_members or total > limits.max_archive_bytes:
                what = f"more than {limits.max_members} members or {limits.max_archive_bytes} bytes, from here on"
                yield replace(member, reason=str(Reason.ARCHIVE_BOMB), detail=what)
                return
            yield replace(member, origin=f"{archive.origin}::{member.member}" if member.member else archive.origin)
    except OSError as error:
        yield replace(archive, reason=str(Reason.UNREADABLE), detail=str(error.strerror or error), named=True)


def read_document(file: SourceFile, limits: SourceLimits, max_bytes: int) -> tuple[SourceFile, bytes]:
    """A file's bytes, at most `max_bytes`, and its address with what reading it told: exact range and size.

    Raises:
        DropError: refused, damaged or too large.
        OSError: it cannot be read.
    """
    if file.reason:
        raise DropError(Reason(file.reason), file.detail)
    if max(file.size, file.length) > max_bytes:
        raise DropError(Reason.TOO_LARGE, f"{max(file.size, file.length)} bytes, limit {max_bytes}")
    if file.packing == "tar.gz":
        return file, read_tar_gz(file, limits)
    place = place_of(file.path, limits)
    if file.length < 0:
        data = place.read_all(file.path, max_bytes)
        if len(data) > max_bytes:
            raise DropError(Reason.TOO_LARGE, f"over the limit of {max_bytes} bytes")
        return replace(file, size=len(data)), data
    stored = place.read(file.path, file.offset, file.length)
    if len(stored) != file.length:
        raise DropError(Reason.ARCHIVE_BROKEN, f"{len(stored)} of {file.length} bytes are there")
    if file.packing == "zip":
        return unpack_zip(file, stored, limits)
    return file, unpack_warc(stored, limits) if file.packing == "warc" else stored


def read_words(file: SourceFile, limits: SourceLimits, max_bytes: int) -> list[ProvidedWords | None]:
    """The words that come with a document, one entry a page; empty when there are none or they cannot be read."""
    adapter = adapter_of(file.adapter)
    if not file.words_length or not adapter.brings_words:
        return []
    beside = replace(file, offset=file.words_offset, length=file.words_length, size=file.words_length, packing="")
    try:
        return adapter.words(read_document(beside, limits, max_bytes)[1])
    except (OSError, DropError):
        return []


def read_source(source: Mapping[str, Any], root: str = "", limits: SourceLimits | None = None) -> bytes:
    """The document that a row's `source` struct names, read again from it alone.

    Args:
        source: the struct of a page or quarantine row.
        root: the SOURCE's root, for a relative `uri`: the folder, or that of the file or manifest.
        limits: on unpacking it.

    Raises:
        DropError: damaged since, or more than the limits.
        OSError: it cannot be read.
    """
    limits = limits or SourceLimits()
    path = source["uri"] if "://" in source["uri"] or not root else f"{root}/{source['uri']}"
    if "://" not in path and not Path(path).exists():
        path = of_text(path)
    file = SourceFile(source["uri"], path, offset=source["offset"], length=source["length"])
    kind = archive_kind(file.name)
    if kind in ("tar.gz", "warc"):
        file = replace(file, packing=kind)  # type: ignore[arg-type]
    file, data = read_document(file, limits, limits.max_member_bytes)
    if kind == "zip" and data.startswith(SIGNATURE):
        return unpack_zip(file, data, limits)[1]
    return data
