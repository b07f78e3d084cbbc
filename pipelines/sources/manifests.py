"""Manifests: a table with an address a row, and what is known of each: sha256, licence, corpus, byte range."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import UsageError
from pipelines.quarantine import Reason
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.names import archive_kind, split_member
from pipelines.sources.places import scheme_of
from pipelines.sources.tables import table_rows

ADDRESS = ("address", "uri", "url", "path", "file")


def manifest_rows(manifest: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """The file of each row of a manifest; a row without an address is a refused one.

    Columns: one of address, uri, url, path or file (required), sha256, licence or license, corpus, offset and length
    (a byte range, of a WARC record or of bytes as they are). Others are passed over. An address is an https://, s3://
    or gs:// one, or a path relative to the manifest. A row may name an archive's member as `archive.zip::member`.

    Raises:
        UsageError: the manifest cannot be read, is not what its name says, or has no column of addresses.
    """
    for number, row in table_rows(manifest, limits):
        column = next((name for name in ADDRESS if name in row), None)
        if column is None:
            known = ", ".join(map(str, row))
            raise UsageError(f"{manifest.path}: no column of addresses among {known}; call one {' or '.join(ADDRESS)}")
        try:
            yield _file(manifest, number, str(row[column] or "").strip(), row)
        except ValueError as error:
            raise UsageError(f"{manifest.path}: row {number}: {error}") from None


def _file(manifest: SourceFile, number: int, address: str, row: Mapping[str, Any]) -> SourceFile:
    place, member = split_member(address)
    uri, path = _place(manifest, place)
    file = replace(
        manifest,
        uri=uri,
        path=path,
        **_state(path),
        member=member,
        sha256=str(row.get("sha256") or "").strip().lower(),
        licence=str(row.get("licence") or row.get("license") or ""),
        corpus=str(row.get("corpus") or ""),
        named=True,
        origin=f"{manifest.origin}::{address}",
    )
    if not address:
        text = f"row {number} of the manifest has no address"
        return replace(file, uri=f"{manifest.uri} row {number}", reason=str(Reason.UNREADABLE), detail=text)
    if row.get("offset") not in (None, "") and row.get("length") not in (None, ""):
        offset, length = int(row["offset"]), int(row["length"])
        kind = archive_kind(place)
        if offset < 0 or length <= 0:
            raise ValueError(f"offset {offset} and length {length} are no byte range")
        if kind == "tar.gz":
            raise ValueError("a gzipped tar has no byte ranges; name its member as archive.tar.gz::member")
        packing: Any = kind if kind in ("warc", "zip") else ""
        return replace(file, offset=offset, length=length, packing=packing, size=-1)
    if archive_kind(place) and not member and file.sha256:
        raise ValueError("sha256 is a document's; leave it empty for an archive")
    return file


def _state(path: str) -> dict[str, Any]:
    """Size and time of change of a file on this machine; of others they are not asked for."""
    try:
        found = None if scheme_of(path) else Path(path).stat()
    except OSError:
        found = None
    return {"size": found.st_size, "changed": str(found.st_mtime_ns)} if found else {"size": -1, "changed": ""}


def _place(manifest: SourceFile, address: str) -> tuple[str, str]:
    """`uri` and `path` of an address in a manifest."""
    if scheme_of(address):
        return address, address
    folder = manifest.path.rpartition("/")[0]
    if scheme_of(manifest.path):
        return f"{folder}/{address}", f"{folder}/{address}"
    path = str(PurePosixPath(folder, address))
    return path if address.startswith("/") else address, path
