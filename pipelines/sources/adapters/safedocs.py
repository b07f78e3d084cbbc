"""SafeDocs CC-MAIN-2021-31-PDF-UNTRUNCATED: `zipfiles/0000-0999/0000.zip` with `0000000.pdf` and so on, 1,000 each.

Its provenance table, `metadata/cc-provenance-20230303.csv.gz`, names each file (`file_name`) with the sha256 of what
was fetched (`fetched_digest`); a file that is another by now is quarantined. It states no licences: these are pages
of the open web. https://digitalcorpora.org/corpora/file-corpora/cc-main-2021-31-pdf-untruncated/
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.sources.adapters.adapter import Adapter, Fact
from pipelines.sources.address import SourceFile


class SafeDocs(Adapter):
    """The zip tree and its provenance."""

    name: ClassVar[str] = "safedocs"
    corpus: ClassVar[str] = "cc-main-2021-31-pdf-untruncated"

    def is_table(self, name: str) -> bool:
        """The provenance table."""
        base = name.rpartition("/")[2]
        return "provenance" in base and base.endswith((".csv", ".csv.gz"))

    def fact(self, row: Mapping[str, Any]) -> Fact | None:
        """The file's digest, and a licence where a table of somebody's own has that column."""
        name = str(row.get("file_name") or "")
        if not name:
            return None
        return Fact(name, str(row.get("licence") or row.get("license") or ""), str(row.get("fetched_digest") or ""))

    def key(self, file: SourceFile) -> str:
        """The file's name."""
        return file.name.rpartition("/")[2]
