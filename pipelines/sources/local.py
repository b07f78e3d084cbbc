"""Documents in local folders, globs and single files."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file that may be a document.

    Attributes:
        uri: path relative to its SOURCE's root, with forward slashes (contract, `source.uri`).
        path: where it is read from.
        size: bytes.
    """

    uri: str
    path: str
    size: int

    def read(self) -> bytes:
        """The file's bytes; raises OSError."""
        return Path(self.path).read_bytes()

    def as_source(self) -> dict[str, Any]:
        """The contract's `source` struct."""
        return {"uri": self.uri, "member": None, "offset": 0, "length": self.size, "corpus": "", "licence": ""}


def find_files(sources: list[str]) -> list[SourceFile]:
    """All files of the SOURCEs, sorted by uri, each path once; hidden files and folders are passed over.

    Raises:
        UsageError: a SOURCE does not exist or matches nothing.
    """
    found: dict[str, SourceFile] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            root, files = path, [p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path))]
        elif path.is_file():
            root, files = path.parent, [path]
        elif glob.has_magic(source):
            plain = next(place for place, part in enumerate(path.parts) if glob.has_magic(part))
            root = Path(*path.parts[:plain])
            files = [file for file in root.glob("/".join(path.parts[plain:])) if file.is_file()]
        else:
            raise UsageError(f"{source}: no such file or folder; give a folder, a glob or a file of documents")
        if not files:
            raise UsageError(f"{source}: holds no file; give a folder, a glob or a file of documents")
        for file in files:
            uri = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
            key = str(file.resolve())
            known = found.get(key)
            if known is None or uri < known.uri:
                found[key] = SourceFile(uri, key, file.stat().st_size)
    return sorted(found.values())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
