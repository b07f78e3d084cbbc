"""GovDocs1: `000.zip` to `999.zip` with `000/000001.pdf` and so on, a thousand files of every type each.

What is no PDF, PNG, JPEG or TIFF is counted as such. It states no licences. https://digitalcorpora.org/corpora/file-corpora/files/
"""

from typing import ClassVar

from pipelines.sources.adapters.adapter import Adapter


class GovDocs(Adapter):
    """The zips as they are."""

    name: ClassVar[str] = "govdocs1"
    corpus: ClassVar[str] = "govdocs1"
