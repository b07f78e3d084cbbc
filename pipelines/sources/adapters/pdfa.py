"""pdfa-eng-wds: `pdfa-eng-train-0000.tar` with `0000000.pdf` and `0000000.json`, English PDFs of SafeDocs.

The JSON is `{"pages": [{"words": {"text": [...], "bbox": [[left, top, width, height], ...], "score": [...], ...},
"lines": {...}, "images_bbox": [...], ...}, ...]}`, boxes as parts of the page. Its words become `provided`.
https://huggingface.co/datasets/pixparse/pdfa-eng-wds
"""

from typing import ClassVar

from pipelines.sources.adapters.webdataset import WebDataset
from pipelines.sources.provided import ProvidedWords, json_pages, provided_words


class Pdfa(WebDataset):
    """PDFs with words."""

    name: ClassVar[str] = "pdfa-eng-wds"
    corpus: ClassVar[str] = "pdfa-eng-wds"
    brings_words: ClassVar[bool] = True

    def words(self, data: bytes) -> list[ProvidedWords | None]:
        """The `words` of each page."""
        given = (page.get("words") if isinstance(page, dict) else None for page in json_pages(data))
        return [
            provided_words(page.get("text"), page.get("bbox"), page.get("score")) if isinstance(page, dict) else None
            for page in given
        ]
