"""WebDataset tars: files that share the part of their name before its first dot are one sample."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from pipelines.sources.adapters.adapter import Adapter
from pipelines.sources.address import SourceFile


def sample_key(file: SourceFile) -> str:
    """Archive, folder and name up to the first dot."""
    folder, _, base = file.name.rpartition("/")
    return f"{file.path}:{folder}/{base.partition('.')[0]}"


class WebDataset(Adapter):
    """Samples of one document (`.pdf`, else `.tif`) and one `.json` with its words.

    Other files of a sample, such as the TIFF of a sample with a PDF, which shows the same pages, are counted with the
    files that are no documents.
    """

    def members(self, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
        """Each sample's document knows where its words are; its other files are set aside."""
        for _, group in groupby(super().members(files), sample_key):
            sample = list(group)
            healthy = {file.name.rpartition(".")[2].lower(): file for file in sample if not file.reason}
            document = healthy.get("pdf") or healthy.get("tif") or healthy.get("tiff")
            words = healthy.get("json")
            for file in sample:
                if file is document and words is not None and not words.packing:
                    yield replace(file, words_offset=words.offset, words_length=words.length)
                elif file is document or file.reason:
                    yield file
                else:
                    yield replace(file, other=True)
