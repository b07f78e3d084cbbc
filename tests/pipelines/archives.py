"""Archives that the tests make: healthy ones, and ones that harm a careless reader."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping

Files = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def pairs(files: Files) -> list[tuple[str, bytes]]:
    return list(files.items() if isinstance(files, Mapping) else files)


def zipped(files: Files, stored: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, data in pairs(files):
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    return out.getvalue()


def zip_link(name: str, target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, target)
    return out.getvalue()


def tarred(files: Files, links: Mapping[str, str] | None = None, mode: str = "w:") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in pairs(files):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def record(kind: str, address: str, block: bytes, content_type: str = "application/http; msgtype=response") -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {address}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def answer(body: bytes, headers: str = "", status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} OK\r\nContent-Type: application/pdf\r\n{headers}\r\n".encode() + body


def warc(fetched: Files, packed: bool = True) -> bytes:
    records = [record("warcinfo", "", b"software: test\r\n", "application/warc-fields")]
    for address, body in pairs(fetched):
        records += [record("request", address, b"GET / HTTP/1.1\r\n\r\n"), record("response", address, answer(body))]
    return b"".join(gzip.compress(one) if packed else one for one in records)
