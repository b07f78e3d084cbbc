"""Members of a tar, plain or gzipped, by their place in it; nothing is unpacked to disk.

A plain tar's member is a byte range of the archive. A gzipped one has no such ranges: its members are addressed in the
uncompressed stream, and a process keeps its place in the archive that it read last, so that members in order cost one
pass. That suits packages of one article each; a large archive is better stored uncompressed.
"""

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipelines.quarantine import DropError, Reason
from pipelines.sources.address import SourceFile
from pipelines.sources.limits import SourceLimits
from pipelines.sources.names import unsafe
from pipelines.sources.places import BLOCK, open_ranges

LONGEST_HEADER = 1 << 24  # names and attributes of one member


def tar_members(archive: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """The regular files of a tar in order; links, devices, and names that climb or are absolute are refused by name.

    A tar that ends too early or holds something else in its middle gives what is before that, then one refused file.

    Raises:
        OSError: the archive cannot be read.
    """
    yield from _members(archive, open_ranges(archive.path, limits, LONGEST_HEADER), "")


def tar_gz_members(archive: SourceFile, limits: SourceLimits) -> Iterator[SourceFile]:
    """As `tar_members`, of a gzipped tar; one that unpacks to more than the limits is a bomb from there on."""
    yield from _members(archive, Unzipped(archive.path, limits), "tar.gz")


def _members(archive: SourceFile, stream: Any, packing: Any) -> Iterator[SourceFile]:
    healthy, before = 0, -1
    reason, detail = Reason.ARCHIVE_BROKEN, ""
    try:
        with stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would remember every member
                if info.size < 0 or info.offset <= before:
                    raise ValueError(f"a member of {info.size} bytes")
                healthy, before = healthy + 1, info.offset
                if not info.isdir():
                    yield _member(archive, info, packing)
            # The library takes anything that is no header for the end.
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                detail = f"neither a header nor the end mark at byte {tar.offset}"
    except (tarfile.TarError, zlib.error, EOFError, ValueError, MemoryError, RecursionError) as error:
        detail = str(error) or type(error).__name__
    except DropError as error:
        reason, detail = Reason(error.reason), error.detail
    except OSError as error:
        if error.errno is not None:  # the store's own error, not the archive's
            raise
        detail = str(error)
    if detail:
        text = f"{detail}; the archive ends there, {healthy} members before it were read"
        yield replace(archive, reason=str(reason), detail=text)


def _member(archive: SourceFile, info: tarfile.TarInfo, packing: Any) -> SourceFile:
    member = replace(
        archive, member=info.name, offset=info.offset_data, length=info.size, size=info.size, packing=packing
    )
    detail = unsafe(info.name)
    if not detail and not info.isreg():
        detail = "is a link or device"
    elif not detail and info.issparse():
        return replace(member, reason=str(Reason.UNREADABLE), detail="is a sparse file; only plain ones are read")
    return replace(member, reason=str(Reason.UNSAFE_MEMBER), detail=detail) if detail else member


class Unzipped(io.RawIOBase):
    """The uncompressed bytes of a gzip file; seeking back starts again at its beginning.

    Raises DropError from `read` when more comes out than the limits allow for what went in.
    """

    def __init__(self, path: str, limits: SourceLimits) -> None:
        self.path, self.limits = path, limits
        self._file = open_ranges(path, limits)
        self._restart()

    def _restart(self) -> None:
        self._file.seek(0)
        self._unpack = zlib.decompressobj(31)
        self._left = b""  # compressed, read and not used
        self._ended = False
        self._given = 0
        self._recent = b""  # what was read last, so that a step back over it costs nothing
        self._back = b""

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer at the end; raises EOFError, zlib.error or DropError on damage."""
        data = self._back[:size] + b"".join(self._pieces(size - len(self._back)))
        self._back = self._back[size:]
        self._recent = data[-tarfile.BLOCKSIZE :]
        return data

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self._some(min(size, BLOCK))
            if not piece:
                return
            size -= len(piece)
            yield piece

    def _some(self, size: int) -> bytes:
        while not self._ended:
            if self._unpack.eof:  # a gzip file may be several, one after the other
                self._left = self._unpack.unused_data or self._left or self._file.read(BLOCK)
                if not self._left.strip(b"\0"):
                    self._ended = True
                    break
                self._unpack = zlib.decompressobj(31)
            source = self._left or self._file.read(BLOCK)
            if not source:
                raise EOFError("the compressed bytes end too early")
            piece = self._unpack.decompress(source, size)
            self._left = self._unpack.unconsumed_tail
            self._given += len(piece)
            packed = self._file.tell() - len(self._left)
            most = min(self.limits.max_archive_bytes, max(self.limits.free_bytes, self.limits.max_ratio * packed))
            if self._given > most:
                raise DropError(Reason.ARCHIVE_BOMB, f"{packed} bytes unpack to more than {int(most)}")
            if piece:
                return piece
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` from the beginning or from here."""
        target = offset + (self.tell() if whence == io.SEEK_CUR else 0)
        if target < self.tell():
            if not self._back and self._given - target <= len(self._recent):
                self._back = self._recent[len(self._recent) - (self._given - target) :]
            else:
                self._restart()
        while self.tell() < target and self.read(min(BLOCK, target - self.tell())):
            pass
        return self.tell()

    def tell(self) -> int:
        """Where the next byte comes from, in the uncompressed stream."""
        return self._given - len(self._back)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always, at a price."""
        return True

    def close(self) -> None:
        """Close the compressed file too."""
        self._file.close()
        super().close()


_last: list[Unzipped] = []  # of this process: where it is in the archive that it read last


def read_tar_gz(file: SourceFile, limits: SourceLimits) -> bytes:
    """The bytes of a member of a gzipped tar.

    Raises:
        DropError: the archive is damaged before its end, or unpacks to more than the limits.
        OSError: the archive cannot be read.
    """
    if not _last or _last[0].path != file.path or _last[0].limits != limits:
        for stream in _last:
            stream.close()
        _last[:] = [Unzipped(file.path, limits)]
    try:
        _last[0].seek(file.offset)
        data = _last[0].read(file.length)
    except (EOFError, zlib.error) as error:
        raise DropError(Reason.ARCHIVE_BROKEN, str(error)) from None
    if len(data) != file.length:
        raise DropError(Reason.ARCHIVE_BROKEN, f"{len(data)} of {file.length} bytes are there")
    return data
