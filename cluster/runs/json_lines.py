"""A file of JSON objects, one a line, that some processes add to while others read it and any may be killed."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.corpus.shards import write_text
from pipelines.errors import UsageError
from pipelines.folders.blame import named

Line = dict[str, Any]


class JsonLines:
    """One such file, whether it is there yet or not.

    What follows the last line's end is still being written and is left out; a line that is no object is what a kill or
    a full disk left of one, and is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._inode, self._offset = path, -1, 0

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line, a new one also where the last was left unfinished."""
        with named(self._path, self._path), self._path.open("a+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            end = "\n" if file.read(1) not in (b"", b"\n") else ""
            file.write(f"{end}{json.dumps(values)}\n".encode())

    def all(self, strict: bool = False) -> list[Line]:
        """All lines.

        Raises:
            UsageError: a line is no object, and `strict` refuses that.
        """
        self._offset = 0
        found = self._read()
        if strict and None in found:
            raise UsageError(f"{self._path} line {found.index(None) + 1} is no JSON object; the file is damaged")
        return [line for line in found if line is not None]

    def new(self) -> list[Line]:
        """The lines since the last call of this or `all`; from the beginning where the file was replaced."""
        return [line for line in self._read() if line is not None]

    def keep(self, wanted: Callable[[Line], bool]) -> None:
        """Write the file anew with the `wanted` lines alone."""
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in self.all() if wanted(line)))

    def _read(self) -> list[Line | None]:
        try:
            with self._path.open("rb") as file:
                if (inode := os.fstat(file.fileno()).st_ino) != self._inode:
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [_object(line) for line in whole.splitlines()]


def _object(line: bytes) -> Line | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
