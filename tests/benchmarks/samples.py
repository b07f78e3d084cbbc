"""How many samples a core builds a second, whole and by part: is feeding the model as quick as the model?

    python tests/benchmarks/samples.py                     # generated pages of 400 words, pictures of 512 x 384
    python tests/benchmarks/samples.py --words 150 --picture 1755 1240
    python tests/benchmarks/samples.py --corpus out/demo/corpus

One process, one thread. Seconds are of the process's CPU time, so that other work on the machine counts little; the
best of the rounds is printed. The need is what one GPU takes (740 samples/s is base on an H200 at 40 % MFU).
"""

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from model.batch import collate  # noqa: E402
from model.objectives.denoising import corrupt  # noqa: E402
from model.objectives.randomness import sample_rng  # noqa: E402
from model.objectives.settings import ObjectiveSettings  # noqa: E402
from model.objectives.token_to_line import sample_pairs  # noqa: E402
from model.picture import decode_picture  # noqa: E402
from model.sample import COLUMNS, SampleBuilder  # noqa: E402
from model.tokenizer import WordTokenizer, train_tokenizer  # noqa: E402
from tests.model.rows import page_row, words_of  # noqa: E402


def generated(pages: int, words: int, picture: tuple[int, int]) -> list[dict[str, Any]]:
    """Pages of lines of text with their pictures, as a corpus row holds them."""
    rows = []
    for number in range(pages):
        row = page_row(words, number, words_a_line=10)
        page = Image.new("RGB", (picture[1], picture[0]), "white")
        pen = ImageDraw.Draw(page)
        for line in range(0, words, 10):
            pen.text((20, 12 + picture[0] * line // max(words, 1)), " ".join(row["words"][line : line + 10]), fill=0)
        file = io.BytesIO()
        page.save(file, "JPEG", quality=85)
        rows.append({**row, "image": file.getvalue()})
    return rows


def write_corpus(folder: Path, pages: int, words: int, picture: tuple[int, int] = (512, 384)) -> None:
    """A corpus of generated pages, two of each document, as a build leaves it."""
    from pipelines.corpus.shards import file_sha256, write_shard
    from pipelines.schema import PAGES, SCHEMA_VERSION, page_id

    rows = []
    for number, row in enumerate(generated(pages, words, picture)):
        doc_id = hashlib.sha256(f"document {number // 2}".encode()).hexdigest()
        rows.append({**row, "doc_id": doc_id, "page_id": page_id(doc_id, number % 2), "page_index": number % 2})
    (folder / "pages").mkdir(parents=True)
    write_shard(folder / "pages", "part-00000.parquet", rows, PAGES)
    shard = folder / "pages" / "part-00000.parquet"
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "settings": {"grid_rows": 4, "grid_columns": 4},
        "corpus_digest": hashlib.sha256(f"{pages} pages of {words} words".encode()).hexdigest(),
        "totals": {"pages": pages},
        "shards": {"pages": [{"name": shard.name, "rows": pages, "sha256": file_sha256(shard)}], "quarantine": []},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def stored(corpus: Path, pages: int) -> list[dict[str, Any]]:
    """The first pages of a corpus."""
    import pyarrow.dataset as dataset

    table = dataset.dataset(corpus / "pages", format="parquet").head(pages, columns=list(COLUMNS))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def best_seconds(work: Callable[[Any], object], inputs: Iterable[Any], rounds: int) -> float:
    """CPU seconds of one pass of `work` over `inputs`, the best of `rounds`."""
    inputs, seconds = list(inputs), []
    for _ in range(rounds + 1):
        start = time.process_time()
        for one in inputs:
            work(one)
        seconds.append(time.process_time() - start)
    return min(seconds[1:])


def measure(
    rows: list[dict[str, Any]], tokenizer: WordTokenizer, size: tuple[int, int], batch: int, rounds: int
) -> Any:
    """Milliseconds a sample by part, and samples/s of the whole."""
    settings = ObjectiveSettings()
    builder = SampleBuilder(tokenizer, settings, size)
    without = SampleBuilder(tokenizer, settings, None)
    samples = [builder.build(row, 0, 0) for row in rows]
    batches = [samples[start : start + batch] for start in range(0, len(samples), batch)]
    tokens = []
    for row in rows:
        ids, words = tokenizer.encode_words(row["words"], 590)
        tokens.append((row["page_id"], ids.astype(np.int64), np.asarray(row["line_ids"], np.int64)[words]))

    def mask(page: Any) -> None:
        corrupt(sample_rng(0, 0, page[0], "denoising"), page[1], page[2], tokenizer.sentinel_ids, settings)

    def pair(page: Any) -> None:
        sample_pairs(sample_rng(0, 0, page[0], "token-to-line"), page[2], settings.line_pairs)

    parts = {
        "tokenise": best_seconds(lambda row: tokenizer.encode_words(row["words"], 590), rows, rounds),
        "mask": best_seconds(mask, tokens, rounds),
        "pairs": best_seconds(pair, tokens, rounds),
        "text whole": best_seconds(lambda row: without.build(row, 0, 0), rows, rounds),
        "picture": best_seconds(lambda row: decode_picture(row["image"], *size), rows, rounds),
        "collate": best_seconds(lambda part: collate(part, 128, 128), batches, rounds),
    }
    whole = best_seconds(lambda row: builder.build(row, 0, 0), rows, rounds) + parts["collate"]
    return {
        "ms": {name: 1000 * seconds / len(rows) for name, seconds in parts.items()},
        "samples_per_core_second": len(rows) / whole,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="read the pages of this corpus instead of generated ones")
    parser.add_argument("--pages", type=int, default=64)
    parser.add_argument("--words", type=int, default=400, help="words of a generated page")
    parser.add_argument("--picture", type=int, nargs=2, default=(512, 384), help="rows and columns as stored")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 384), help="rows and columns that the model takes")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--needed", type=float, default=740.0, help="samples/s that one GPU takes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = stored(args.corpus, args.pages) if args.corpus else generated(args.pages, args.words, tuple(args.picture))
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer([row["words"] for row in rows] + [words_of(400, 0)], folder, vocab_size=2_000)
        found = measure(rows, WordTokenizer.load(folder), tuple(args.size), args.batch, args.rounds)
    for name, milliseconds in found["ms"].items():
        print(f"{name:12s} {milliseconds:8.3f} ms a sample")
    rate = found["samples_per_core_second"]
    print(f"{rate:.0f} samples/s a core: {args.needed:.0f} samples/s need {args.needed / rate:.1f} cores")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
