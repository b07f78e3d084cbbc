"""A folder on a disk of this machine, or one that it shares with others."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa

from pipelines.folders.blame import named
from pipelines.folders.folder import Folder

TEMPORARY = ".tmp"
_OURS = re.compile(r".+\.\d+\.tmp")


@dataclass(frozen=True)
class LocalFolder(Folder):
    """The folder at an absolute path."""

    path: Path

    @property
    def address(self) -> str:
        """The path."""
        return str(self.path)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.path / name)

    def make(self, name: str = "") -> None:
        """Make the folder and those above it."""
        (self.path / name).mkdir(parents=True, exist_ok=True)

    def is_file(self) -> bool:
        """Whether the path exists and is no folder."""
        return self.path.exists() and not self.path.is_dir()

    def unwritable(self) -> str:
        """Whether it, or the folder that it would be made in, is a file or takes none: a nameless one is tried."""
        there = next(path for path in (self.path, *self.path.parents) if path.exists())
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            return f"{there}: {error.strerror}"
        return ""

    def empty(self) -> bool:
        """Whether it has no entry: an empty folder in it is one, what a killed writer had begun is none."""
        return not self.path.is_dir() or all(_OURS.fullmatch(path.name) for path in self.path.iterdir())

    def exists(self, name: str) -> bool:
        """Whether it holds the file."""
        return (self.path / name).is_file()

    def changed(self, name: str) -> int:
        """When the file was last written, ns since the epoch."""
        return (self.path / name).stat().st_mtime_ns

    def size(self, name: str) -> int:
        """Bytes of the file."""
        return (self.path / name).stat().st_size

    def names(self, below: str = "") -> list[str]:
        """Names of its files; a write that is under way has no name yet."""
        return self._entries(below, lambda path: path.is_file() and path.suffix != TEMPORARY)

    def folders(self, below: str = "") -> list[str]:
        """Names of its folders."""
        return self._entries(below, Path.is_dir)

    def _entries(self, below: str, wanted: Any) -> list[str]:
        folder = self.path / below
        return sorted(path.name for path in folder.iterdir() if wanted(path)) if folder.is_dir() else []

    def open(self, name: str) -> Any:
        """The file for reading."""
        return pa.OSFile(str(self.path / name), "rb")

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A temporary file beside `name`, synced and renamed at the end of the block."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            with named(path, temporary):
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)

    def bring(self, name: str, folder: Folder) -> None:
        """The file of another folder; files are replaced, never changed, so a hard link is as good as a copy."""
        if not isinstance(folder, LocalFolder):
            super().bring(name, folder)
            return
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(folder.path / name, path)
        except OSError:
            super().bring(name, folder)
        sync_folder(path.parent)

    def remove(self, name: str) -> None:
        """Remove the file."""
        (self.path / name).unlink(missing_ok=True)

    def remove_folder(self, name: str = "") -> None:
        """Remove the folder with all it holds."""
        shutil.rmtree(self.path / name, ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """A lock of the folder itself: nothing of it stays when the process ends, however that is.

        The folder is made for it, and goes again when the block leaves it empty.
        """
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        self.make()
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            yield _locked(descriptor)
        finally:
            with suppress(OSError):  # it holds something
                for path in made:
                    path.rmdir()
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove temporary files."""
        for left in self.path.rglob(f"*{TEMPORARY}"):
            left.unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # NFS cannot lock folders: as in a store, what was written meanwhile is seen at the commit
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
