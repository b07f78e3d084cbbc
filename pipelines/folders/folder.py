"""A folder on disk or in an object store: files that appear whole or not at all, read by range.

Names of files are relative to the folder, with forward slashes ("pages/part-0.parquet"). What every kind keeps:

- A file that is written appears under its name when all of it is there and durable, in place of the one before: readers
  see the old one or the new one, also after a kill at any moment. Stores do so with one PUT or the end of a multipart
  upload; a disk by renaming a synced temporary file. Nothing is ever appended to, and no folder is renamed.
- What is written is there for every reader and every listing at once, on any machine.
- Several files do not appear together: what they belong to needs one file that is written last and names the others.

A folder is a plain value: it can be compared, pickled, and made again from its address (`folders.address.folder_of`).
Every method raises OSError when the disk or store fails: FileNotFoundError, PermissionError where that is the reason.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Self

PIECE = 1 << 22  # bytes that are read at once


class Folder(ABC):
    """A folder; see the module for what all kinds keep."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Absolute path, or `s3://bucket/key`; never ends in a slash."""

    @abstractmethod
    def __truediv__(self, name: str) -> Self:
        """The folder `name` in this one, there or not."""

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.address.rpartition("/")[2]

    @abstractmethod
    def make(self, name: str = "") -> None:
        """Have the folder `name`; stores have none to make. Writing a file makes its folder as well."""

    @abstractmethod
    def is_file(self) -> bool:
        """Whether there is a file where the folder should be."""

    def unwritable(self) -> str:
        """Why nothing can be written to it, as far as that can be told without leaving anything; else empty."""
        return ""

    @abstractmethod
    def empty(self) -> bool:
        """Whether it holds nothing at any depth, or is not there."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether it holds the file `name`."""

    @abstractmethod
    def changed(self, name: str) -> int:
        """When the file was last written: ns since the epoch."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of the file."""

    @abstractmethod
    def names(self, below: str = "") -> list[str]:
        """Names of the files directly in the folder `below`, without that; sorted, empty where it is not there."""

    @abstractmethod
    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly in the folder `below`, without that; sorted, empty where it is not there."""

    @abstractmethod
    def open(self, name: str) -> Any:
        """The file for reading, range by range: a `pyarrow.NativeFile`, to be closed."""

    def read(self, name: str) -> bytes:
        """The whole file."""
        with self.open(name) as file:
            return bytes(file.read())

    def read_text(self, name: str) -> str:
        """The whole file, which is UTF-8."""
        return self.read(name).decode("utf-8")

    def sha256(self, name: str) -> str:
        """Hex sha256 of the file's bytes."""
        digest = hashlib.sha256()
        for piece in self._pieces(name):
            digest.update(piece)
        return digest.hexdigest()

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write into, which appears as `name` at the end of the block; after an exception it does not."""

    def write(self, name: str, data: Any) -> None:
        """Write a file: bytes or whatever gives them as a buffer."""
        with self.writing(name) as file:
            file.write(data)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of UTF-8."""
        self.write(name, text.encode("utf-8"))

    def bring(self, name: str, folder: "Folder") -> None:
        """Have the file `name` as it is in another folder, at the least cost that the two allow."""
        with self.writing(name) as file:
            for piece in folder._pieces(name):
                file.write(piece)

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove the file; nothing when it is not there."""

    @abstractmethod
    def remove_folder(self, name: str = "") -> None:
        """Remove the folder `name`, or itself, with all it holds; nothing when it is not there."""

    def alone(self) -> AbstractContextManager[bool]:
        """Whether this process has the folder for itself in the block; stores have no locks, and always say so."""
        return nullcontext(True)

    @abstractmethod
    def sweep(self) -> None:
        """Remove what writes that were cut off have left, at any depth; no write may be under way."""

    def _pieces(self, name: str) -> Iterator[bytes]:
        with self.open(name) as file:
            while piece := file.read(PIECE):
                yield piece
