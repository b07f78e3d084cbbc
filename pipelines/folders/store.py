"""A folder in an object store: a prefix of keys, of which stores know nothing until an object has it."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Self

from pipelines.folders.clients import client
from pipelines.folders.folder import PIECE, Folder

IN_MEMORY = 1 << 26  # bytes of a file that is being written; more goes to a temporary file on disk


@dataclass(frozen=True)
class StoreFolder(Folder):
    """The objects whose key begins with `key` and a slash.

    Attributes:
        scheme: `s3` or `gs`.
        key: bucket and prefix, without a slash at either end.
    """

    scheme: str
    key: str

    @property
    def address(self) -> str:
        """As `s3://bucket/prefix`."""
        return f"{self.scheme}://{self.key}"

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.scheme, self._key(name))

    def make(self, name: str = "") -> None:
        """Nothing: a folder is there as soon as it holds an object."""

    def is_file(self) -> bool:
        """Whether an object has the folder's own key."""
        return "/" in self.key and bool(self._files.get_file_info(self.key).is_file)

    def empty(self) -> bool:
        """Whether no object has its prefix."""
        return not self._holds_any(self.key)

    def _holds_any(self, key: str) -> bool:
        found = self._list(key)
        if self.scheme == "s3":  # level by level, so that a full bucket is not listed whole
            return any(info.is_file or self._holds_any(info.path) for info in sorted(found, key=_files_first))
        return any(info.is_file for info in found or self._list(key, recursive=True))

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self._files.get_file_info(self._key(name)).is_file)

    def changed(self, name: str) -> int:
        """When the object was written, ns since the epoch; stores tell it in seconds or milliseconds."""
        return int(self._info(name).mtime_ns)

    def size(self, name: str) -> int:
        """Bytes of the object."""
        return int(self._info(name).size)

    def names(self, below: str = "") -> list[str]:
        """Names of the objects one level down."""
        return sorted(info.base_name for info in self._list(self._key(below)) if info.is_file)

    def folders(self, below: str = "") -> list[str]:
        """Names of the prefixes one level down."""
        key = self._key(below)
        if self.scheme == "s3":
            return sorted(info.base_name for info in self._list(key) if not info.is_file)
        # Arrow's client for Google tells of no prefixes.
        below_it = [info.path.removeprefix(f"{key}/") for info in self._list(key, recursive=True) if info.is_file]
        return sorted({path.partition("/")[0] for path in below_it if "/" in path})

    def open(self, name: str) -> Any:
        """The object for reading, each read one request for its range."""
        return self._files.open_input_file(self._key(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A temporary file, uploaded at the end: Arrow completes an upload that is dropped, and half a file with it."""
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            yield file
            file.seek(0)
            self._upload(name, lambda: file.read(PIECE))

    def write(self, name: str, data: Any) -> None:
        """Write an object from memory."""
        left = [memoryview(data)]
        self._upload(name, lambda: left.pop() if left else b"")

    def _upload(self, name: str, piece: Callable[[], Any]) -> None:
        """Upload what `piece` gives until it gives nothing.

        In a thread of its own: a signal's exception strikes the main thread alone, where it would end the upload early
        and leave half an object under the name.
        """
        key = self._key(name)

        def upload() -> None:
            with self._files.open_output_stream(key) as stream:
                while data := piece():
                    stream.write(data)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(upload).result()

    def bring(self, name: str, folder: Folder) -> None:
        """The object of another folder: within a store the store copies it."""
        if isinstance(folder, StoreFolder) and folder.scheme == self.scheme:
            self._files.copy_file(folder._key(name), self._key(name))
        else:
            super().bring(name, folder)

    def remove(self, name: str) -> None:
        """Remove the object."""
        if self.exists(name):
            self._files.delete_file(self._key(name))

    def remove_folder(self, name: str = "") -> None:
        """Remove all objects with the prefix."""
        key = self._key(name)
        if "/" not in key or self.scheme == "gs":
            if self._list(key, recursive=True):  # Google's client refuses to empty what is not there
                self._files.delete_dir_contents(key)
            return
        with suppress(FileNotFoundError):  # without leaving a mark of an empty folder, which would be listed
            self._files.delete_dir(key)

    def sweep(self) -> None:
        """Nothing: an upload that was cut off has no name. Its parts go by the bucket's own rule for such uploads."""

    @property
    def _files(self) -> Any:
        return client(self.scheme)

    def _key(self, name: str) -> str:
        return f"{self.key}/{name}" if name else self.key

    def _info(self, name: str) -> Any:
        info = self._files.get_file_info(self._key(name))
        if not info.is_file:
            raise FileNotFoundError(2, "no such object", f"{self.address}/{name}")
        return info

    def _list(self, key: str, recursive: bool = False) -> list[Any]:
        from pyarrow.fs import FileSelector

        return list(self._files.get_file_info(FileSelector(key, allow_not_found=True, recursive=recursive)))


def _files_first(info: Any) -> bool:
    return not info.is_file
