"""What an adapter says about a corpus; this one says nothing and is called "none"."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from pipelines.sources.address import SourceFile
from pipelines.sources.provided import ProvidedWords


class Fact(NamedTuple):
    """What a table of the corpus says of the documents that share a key."""

    key: str
    licence: str = ""
    sha256: str = ""


class Adapter:
    """A corpus's layout.

    Attributes:
        name: for `--adapter`.
        corpus: goes into `source.corpus`.
        brings_words: whether its documents have words and boxes of their own.
    """

    name: ClassVar[str] = "none"
    corpus: ClassVar[str] = ""
    brings_words: ClassVar[bool] = False

    def members(self, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
        """The files of one archive, or one file alone, with what the layout says of them."""
        for file in files:
            yield replace(file, corpus=self.corpus or file.corpus, adapter=self.name)

    def is_table(self, name: str) -> bool:
        """Whether a file of this name is the corpus's table of facts rather than a document or a manifest."""
        return False

    def fact(self, row: Mapping[str, Any]) -> Fact | None:
        """What a row of that table says, None when nothing."""
        return None

    def key(self, file: SourceFile) -> str:
        """The key in that table of a document."""
        return ""

    def words(self, data: bytes) -> list[ProvidedWords | None]:
        """The words of each page from the file beside a document; None for a page that is read like any other."""
        return []
