"""arXiv's bulk PDFs: `arXiv_pdf_2001_001.tar` with `2001/2001.00001v1.pdf`, before 2007 `0001/astro-ph0001001.pdf`.

Licences are in the metadata snapshot, `arxiv-metadata-oai-snapshot.json` (lines with `id` and `license`), where it is
among the SOURCEs. https://info.arxiv.org/help/bulk_data_s3.html (requester pays: download the tars first).
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.sources.adapters.adapter import Adapter, Fact
from pipelines.sources.address import SourceFile


class Arxiv(Adapter):
    """The tars and the metadata snapshot."""

    name: ClassVar[str] = "arxiv"
    corpus: ClassVar[str] = "arxiv"

    def is_table(self, name: str) -> bool:
        """The metadata snapshot."""
        base = name.rpartition("/")[2]
        return base.startswith("arxiv-metadata") and base.endswith((".json", ".jsonl", ".json.gz", ".jsonl.gz"))

    def fact(self, row: Mapping[str, Any]) -> Fact | None:
        """The licence of one paper."""
        return Fact(str(row.get("id") or ""), str(row.get("license") or ""))

    def key(self, file: SourceFile) -> str:
        """The paper's identifier without its version: 2001.00001, or astro-ph/0001001."""
        base = re.sub(r"(v\d+)?\.pdf$", "", file.name.rpartition("/")[2])
        return re.sub(r"^([a-z-]+(?:\.[A-Z]{2})?)(\d{7})$", r"\1/\2", base)
