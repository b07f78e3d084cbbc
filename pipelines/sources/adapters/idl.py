"""idl-wds, Industry Documents Library: `idl-train-00000.tar` with `.pdf`, `.tif`, `.json`, `.ocr` for each document.

The JSON is `{"pages": [{"text": [...], "bbox": [[left, top, width, height], ...], "poly": [...], "score": [...]}]}`:
lines, not words, read by Textract, boxes as parts of the page. Their words become `provided`, each line's box shared
out among them. https://huggingface.co/datasets/pixparse/idl-wds
"""

from typing import ClassVar

from pipelines.sources.adapters.webdataset import WebDataset
from pipelines.sources.provided import ProvidedWords, json_pages, split_lines


class Idl(WebDataset):
    """Scans with lines."""

    name: ClassVar[str] = "idl-wds"
    corpus: ClassVar[str] = "idl-wds"
    brings_words: ClassVar[bool] = True

    def words(self, data: bytes) -> list[ProvidedWords | None]:
        """The lines of each page, split into words."""
        return [
            split_lines(page.get("text"), page.get("bbox"), page.get("score")) if isinstance(page, dict) else None
            for page in json_pages(data)
        ]
