"""Words with boxes of born-digital pages: time and agreement beside pdfplumber, pdfminer.six and docling-parse.

    pip install pdfplumber docling-parse          # pdfminer.six comes with pdfplumber
    python tests/benchmarks/words.py --pdfs ~/papers

The libraries that are installed take turns on each document, in one process and one thread; seconds are of processor
time, opening included. Recall is of the row's words in what the column's library found, as a bag of words a page after
NFKC and casefold: none of them is the truth.
"""

import argparse
import importlib.util
import os
import platform
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import pymupdf  # noqa: E402

from pipelines.pages.isolation import ReaderLimits  # noqa: E402
from pipelines.pages.reader import Document  # noqa: E402
from pipelines.pages.text_layer import text_layer  # noqa: E402
from pipelines.quarantine import DropError  # noqa: E402

Words = list[tuple[str, float, float, float, float]]
LIMITS = ReaderLimits().model_dump()


def ours(path: Path) -> list[Words]:
    document = Document(path.read_bytes(), "pdf", [], LIMITS)
    pages = (text_layer(document.drawn(document.page(index))) for index in range(document.pages))
    return [[(word, *place) for word, place in zip(page.words, page.places.tolist(), strict=True)] for page in pages]


def plumber(path: Path) -> list[Words]:
    import pdfplumber

    with pdfplumber.open(path) as pdf:
        pages = [page.extract_words() for page in pdf.pages]
    return [[(word["text"], word["x0"], word["top"], word["x1"], word["bottom"]) for word in page] for page in pages]


def miner(path: Path) -> list[Words]:
    """Words are runs of its characters between white space, with the box around them."""
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LTChar, LTTextLine

    def lines(item: Any) -> Any:
        if isinstance(item, LTTextLine):
            yield item
        elif hasattr(item, "__iter__"):
            for part in item:
                yield from lines(part)

    def words(line: Any) -> Words:
        found: Words = []
        run: list[Any] = []
        for part in [*line, None]:
            if isinstance(part, LTChar) and not part.get_text().isspace():
                run.append(part)
            elif run:
                x0, y0 = min(char.x0 for char in run), min(char.y0 for char in run)
                x1, y1 = max(char.x1 for char in run), max(char.y1 for char in run)
                found.append(("".join(char.get_text() for char in run), x0, y0, x1, y1))
                run = []
        return found

    return [[word for line in lines(page) for word in words(line)] for page in extract_pages(path)]


def docling(path: Path) -> list[Words]:
    from docling_parse.pdf_parser import DoclingPdfParser

    pages = [page for _, page in DoclingPdfParser(loglevel="fatal").load(str(path)).iterate_pages()]
    cells = [[(cell.text, cell.rect.to_bounding_box()) for cell in page.word_cells] for page in pages]
    return [[(text, box.l, box.t, box.r, box.b) for text, box in page] for page in cells]


READERS: dict[str, tuple[str, Callable[[Path], list[Words]]]] = {
    "ours": ("pymupdf", ours),
    "pdfplumber": ("pdfplumber", plumber),
    "pdfminer.six": ("pdfminer", miner),
    "docling-parse": ("docling_parse", docling),
}


def bag(page: Words) -> Counter[str]:
    return Counter(unicodedata.normalize("NFKC", word[0]).casefold() for word in page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path, required=True, nargs="+", help="folders of PDFs")
    parser.add_argument("--pages", type=int, default=1000, help="pages after which to stop")
    parser.add_argument("--max-pages", type=int, default=20, help="longer documents are passed over")
    args = parser.parse_args()
    pymupdf.TOOLS.mupdf_display_errors(False)
    readers = {name: read for name, (package, read) in READERS.items() if importlib.util.find_spec(package)}
    seconds, failed, pages, documents = Counter[str](), Counter[str](), 0, 0
    found, shared = Counter[str](), Counter[tuple[str, str]]()
    for path in sorted(path for folder in args.pdfs for path in folder.rglob("*.pdf")):
        try:
            document = Document(path.read_bytes(), "pdf", [], LIMITS)
            if document.pages > args.max_pages or not text_layer(document.drawn(document.page(0))).words:
                continue
        except DropError:
            continue
        read, spent = {}, {}
        for name, reader in readers.items():
            started = time.process_time()
            try:
                read[name] = reader(path)
            except Exception:
                failed[name] += 1
            spent[name] = time.process_time() - started
        if len(read) < len(readers) or len({len(each) for each in read.values()}) > 1:
            continue  # what one of them cannot read is no measure of speed
        documents, pages = documents + 1, pages + document.pages
        seconds.update(spent)
        for each in zip(*read.values(), strict=True):
            bags = dict(zip(read, map(bag, each), strict=True))
            for name in bags:
                found[name] += bags[name].total()
                shared.update({(name, other): (bags[name] & bags[other]).total() for other in bags})
        if pages >= args.pages:
            break
    load = os.getloadavg()[0]
    print(f"{platform.processor() or 'CPU'}, 1 thread, load {load:.1f}, {documents} documents, {pages} pages")
    print(f"{'':<15}{'ms a page':>10}{'of ours':>9}{'words':>9}{'failed':>8}   recall in " + ", ".join(readers))
    for name in readers:
        recalls = "  ".join(f"{shared[name, other] / max(1, found[name]):.3f}" for other in readers)
        print(
            f"{name:<15}{1000 * seconds[name] / max(1, pages):>10.2f}{seconds[name] / seconds['ours']:>9.1f}"
            f"{found[name]:>9}{failed[name]:>8}   {recalls}"
        )


if __name__ == "__main__":
    main()
