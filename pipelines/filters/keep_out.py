"""Evaluation pages to keep out of a corpus: their eight-word runs, and how much of a page is made of them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.corpus.reader import MANIFEST, Corpus
from pipelines.errors import UsageError
from pipelines.filters.shingles import runs, word_hashes
from pipelines.folders.address import folder_of

RUN_WORDS = 8


def keep_out_runs(paths: Sequence[str]) -> NDArray[np.uint64]:
    """The distinct eight-word runs of all pages in `paths`, sorted: uint64 [R].

    Args:
        paths: corpus folders, or files: .txt (a page a line), .jsonl (key `words` or `text`), .parquet (such a column).

    Raises:
        UsageError: a path does not exist, is of another kind or cannot be read, or holds no page.
    """
    found = []
    for path in paths:
        try:
            pages = [runs(word_hashes(words), RUN_WORDS) for words in _pages(path)]
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"keep_out {path}: cannot be read ({type(error).__name__}: {error})") from None
        if not pages:
            raise UsageError(f"keep_out {path}: holds no page; give a corpus or a list of page texts")
        found += pages
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def runs_digest(kept_out: NDArray[np.uint64]) -> str:
    """Hex sha256 of the runs of the evaluation pages, empty without any."""
    return hashlib.sha256(kept_out.astype("<u8").tobytes()).hexdigest() if len(kept_out) else ""


def overlap(hashes: NDArray[np.uint64], kept_out: NDArray[np.uint64]) -> float:
    """Share of the page's eight-word runs that are among the sorted `kept_out`, 0..1."""
    own = runs(hashes, RUN_WORDS)
    if not len(own) or not len(kept_out):
        return 0.0
    places = np.minimum(np.searchsorted(kept_out, own), len(kept_out) - 1)
    return float((kept_out[places] == own).mean())


def _pages(place: str) -> Iterator[Sequence[str]]:
    path = Path(place)
    if folder_of(place).exists(MANIFEST):
        yield from (row["words"] for row in Corpus.open(place).rows(["words"]))
    elif path.suffix == ".txt":
        yield from (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    elif path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        yield from (_words(json.loads(line)) for line in lines if line.strip())
    elif path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        column = "words" if "words" in file.schema_arrow.names else "text"
        for batch in file.iter_batches(columns=[column]):
            yield from map(_words, batch.to_pylist())
    else:
        raise UsageError(f"keep_out {path}: give a corpus folder, or a .txt, .jsonl or .parquet list of page texts")


def _words(page: dict[str, Any]) -> Sequence[str]:
    words: Sequence[str] = page["words"] if "words" in page else str(page["text"]).split()
    return words
