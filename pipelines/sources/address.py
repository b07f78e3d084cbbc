"""Where one file is: enough, as plain values, for any process to read it again and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pipelines.sources.names import as_text

Packing = Literal["", "zip", "tar.gz", "warc"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that may be a document: a file of its own or a member of an archive.

    Attributes:
        uri: of the file or archive: its path relative to the SOURCE's root with forward slashes when local, else the
            whole address (contract, `source.uri`); as `as_text` gives it, like `member`.
        path: where it is read from: an absolute path, of whatever bytes, or the whole address.
        size: bytes of the file itself as far as known before it is read, -1 when not.
        member: name inside the archive, else empty.
        offset: where its bytes begin in `path`.
        length: how many bytes there are, as they are stored; -1: all of `path`.
        packing: how those bytes hold it: as it is, "zip" (a local file header and what follows), "tar.gz" (`offset`
            and `length` count in the uncompressed tar), "warc" (one record, compressed or not).
        corpus: name of the corpus that it is part of, or empty.
        licence: as the corpus states it, or empty.
        sha256: what its bytes must give in hex, or empty.
        reason: why it must not be read, one of the quarantine's, or empty.
        detail: of the reason.
        other: it is known not to be a document without reading it.
        named: somebody named it, so that it counts as a document also when it cannot be read.
        origin: the SOURCE that yields this file alone.
        changed: when it last changed as its store tells, or empty.
        adapter: that described it.
        words_offset: where the file with its words and boxes begins in `path`.
        words_length: bytes of that file; 0: there is none.
    """

    uri: str
    path: str
    size: int = -1
    member: str = ""
    offset: int = 0
    length: int = -1
    packing: Packing = ""
    corpus: str = ""
    licence: str = ""
    sha256: str = ""
    reason: str = ""
    detail: str = ""
    other: bool = False
    named: bool = False
    origin: str = ""
    changed: str = ""
    adapter: str = "none"
    words_offset: int = 0
    words_length: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", as_text(self.uri))
        object.__setattr__(self, "member", as_text(self.member))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The address in a record that holds more than it."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    @property
    def name(self) -> str:
        """What it is called, whose ending counts; of an address without its query."""
        name = self.member or self.uri
        return unquote(urlsplit(name).path) if "://" in name else name

    @property
    def place(self) -> tuple[str, str, int, str]:
        """Order of files, and with it which of two equal ones is the first."""
        return self.uri, self.member, self.offset, self.path

    def as_source(self) -> dict[str, Any]:
        """The contract's `source` struct."""
        return {
            "uri": self.uri,
            "member": self.member or None,
            "offset": self.offset,
            "length": self.length if self.length >= 0 else self.size,
            "corpus": self.corpus,
            "licence": self.licence,
        }
