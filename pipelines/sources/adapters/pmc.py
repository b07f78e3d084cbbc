"""PMC Open Access: `oa_package/08/e0/PMC13900.tar.gz`, one article each: `PMC13900/` with `.pdf`, `.nxml`, figures.

Its PDFs are documents; the figures of an article, pictures too, are not. Licences are in `oa_file_list.csv` (columns
File, Article Citation, Accession ID, Last Updated, PMID, License). https://pmc.ncbi.nlm.nih.gov/tools/ftp/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pipelines.sources.adapters.adapter import Adapter, Fact
from pipelines.sources.address import SourceFile


class Pmc(Adapter):
    """The packages and their list."""

    name: ClassVar[str] = "pmc-oa"
    corpus: ClassVar[str] = "pmc-oa"

    def members(self, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
        """PDFs; everything else in a package is set aside."""
        for file in super().members(files):
            yield replace(file, other=not file.reason and not file.name.lower().endswith(".pdf"))

    def is_table(self, name: str) -> bool:
        """The list of packages."""
        base = name.rpartition("/")[2]
        return base.startswith("oa_") and base.endswith((".csv", ".csv.gz"))

    def fact(self, row: Mapping[str, Any]) -> Fact | None:
        """The licence of one article."""
        return Fact(str(row.get("Accession ID") or ""), str(row.get("License") or ""))

    def key(self, file: SourceFile) -> str:
        """The article's accession id, from its package's name."""
        return file.uri.rpartition("/")[2].partition(".")[0]
