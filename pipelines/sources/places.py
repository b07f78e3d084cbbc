"""Where bytes are: local disk, s3:// and gs:// (pyarrow), https:// (see `web`), all with the same few questions."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pipelines.folders.clients import SCHEMES, client
from pipelines.sources.limits import SourceLimits
from pipelines.sources.web import Web

BLOCK = 1 << 18


class Place(Protocol):
    """A kind of store. Every method raises OSError: FileNotFoundError and PermissionError where that is the reason."""

    def size(self, path: str) -> int:
        """Bytes of the file."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from `offset` on: `length` of them, fewer at the end of the file."""

    def read_all(self, path: str, limit: int) -> bytes:
        """The whole file, or its first `limit + 1` bytes when it has more."""


class Local:
    """Files on this machine."""

    def size(self, path: str) -> int:
        """Bytes of the file."""
        return Path(path).stat().st_size

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from `offset` on."""
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def read_all(self, path: str, limit: int) -> bytes:
        """The whole file, or a byte more than `limit`."""
        return self.read(path, 0, limit + 1)


class Cloud:
    """Objects in S3 and what speaks its language (AWS_ENDPOINT_URL), or in Google Cloud Storage.

    See `folders.clients` for where credentials come from.
    """

    def __init__(self, scheme: str, limits: SourceLimits) -> None:
        self.scheme = scheme
        self.limits = limits

    @property
    def files(self) -> Any:
        """Arrow's client of the store."""
        return client(self.scheme, self.limits.attempts, self.limits.timeout_s)

    def size(self, path: str) -> int:
        """Bytes of the object."""
        info = self.files.get_file_info(self._key(path))
        if not info.is_file:
            raise FileNotFoundError(2, "no such object", path)
        return int(info.size)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from `offset` on."""
        with self.files.open_input_file(self._key(path)) as file:
            return bytes(file.read_at(length, offset))

    def read_all(self, path: str, limit: int) -> bytes:
        """The whole object, or a byte more than `limit`."""
        return self.read(path, 0, limit + 1)

    def walk(self, path: str) -> Iterator[tuple[str, int, str]]:
        """Path, size and time of change of every object under a folder; nothing when there is none."""
        from pyarrow.fs import FileSelector

        for info in self.files.get_file_info(FileSelector(self._key(path), recursive=True, allow_not_found=True)):
            if info.is_file:
                yield f"{self.scheme}://{info.path}", int(info.size), str(info.mtime_ns)

    def _key(self, path: str) -> str:
        return path.removeprefix(f"{self.scheme}://").rstrip("/")


def scheme_of(path: str) -> str:
    """`s3`, `gs`, `http` or `https` of an address, empty for a path on this machine."""
    scheme = path.partition("://")[0] if "://" in path else ""
    return scheme if scheme in ("s3", "gs", "http", "https") else ""


@cache
def _place(scheme: str, limits: SourceLimits) -> Place:
    if scheme in SCHEMES:
        return Cloud(scheme, limits)
    return Web(limits) if scheme else Local()


def place_of(path: str, limits: SourceLimits) -> Place:
    """The store that holds `path`; one a process."""
    return _place(scheme_of(path), limits)


class RangeFile(io.RawIOBase):
    """A file read range by range where it is, for libraries that want something to seek in.

    Args:
        place: the store.
        path: in it.
        longest: bytes of the longest single read allowed; a longer one raises OSError, so that a forged length field
            cannot take the memory.
    """

    def __init__(self, place: Place, path: str, longest: int) -> None:
        self.place, self.path, self.longest = place, path, longest
        self.length = place.size(path)
        self.at = 0

    def readinto(self, buffer: Any) -> int:
        """Bytes at the current position into `buffer`."""
        view = memoryview(buffer)
        if len(view) > self.longest:
            raise OSError(f"{self.path}: a header claims {len(view)} bytes, limit {self.longest}")
        data = self.place.read(self.path, self.at, len(view)) if self.at < self.length else b""
        view[: len(data)] = data
        self.at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, without reading."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.length}[whence]
        return self.at

    def tell(self) -> int:
        """The current position."""
        return self.at

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True


def open_ranges(path: str, limits: SourceLimits, longest: int = 1 << 28) -> io.BufferedReader:
    """The file at `path` to seek and read in, block by block.

    Raises:
        OSError: it is not there or may not be read.
    """
    return io.BufferedReader(RangeFile(place_of(path, limits), path, longest), BLOCK)
