"""Word recall and time of each OCR engine, side by side: FUNSD's test scans and print drawn by this script.

    python tests/benchmarks/ocr.py                        # 50 scans where they are, 6 printed pages
    python tests/benchmarks/ocr.py --scans 10 --dpi 150

A word is a run of letters and digits, without case. Recall is the share of the true words that were read, each counted
as often as it stands on the page; precision is the share of the read words that are true. One process and one thread;
seconds are of processor time, so that a busy machine changes them little. `auto` is what a build uses on scans.
"""

import argparse
import json
import os
import platform
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pymupdf

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.ocr import engine  # noqa: E402
from pipelines.synthetic.phrases import BUSINESS, CLAUSES  # noqa: E402

FUNSD = Path(__file__).resolve().parents[3] / "shared" / "data" / "funsd" / "testing_data"
WORDS = re.findall(r"\b[a-z]{2,}\b", re.sub(r"{\w+}", "", " ".join(BUSINESS + CLAUSES)))
ENGINES = ("tesseract", "rapidocr", "auto")


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", text.casefold()))


def draw(document: Any, dpi: float) -> np.ndarray:
    pixmap = document[0].get_pixmap(matrix=pymupdf.Matrix(dpi / 72, dpi / 72), alpha=False, colorspace=pymupdf.csRGB)
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


def scans(count: int) -> Iterator[tuple[Any, Counter[str]]]:
    for image in sorted((FUNSD / "images").glob("*.png"))[:count]:
        truth = json.loads((FUNSD / "annotations" / f"{image.stem}.json").read_text())
        text = " ".join(word["text"] for entity in truth["form"] for word in entity["words"])
        yield pymupdf.open(image), words(text)


def prints(count: int) -> Iterator[tuple[Any, Counter[str]]]:
    """Pages of running words in 7 to 12 points."""
    for page in range(count):
        pick, size = random.Random(page), 7 + page % 6
        text = " ".join(pick.choice(WORDS) for _ in range(int(45_000 / size**2)))
        document = pymupdf.open()
        sheet = document.new_page(width=612, height=792)
        left = sheet.insert_textbox(
            (50, 50, 562, 742), text, fontsize=size, fontname=("helv", "tiro", "cour")[page % 3]
        )
        # Only what found room is on the page.
        yield document, words(sheet.get_text() if left < 0 else text)


def measure(name: str, kind: str, dpi: float, pages: list[tuple[Any, Counter[str]]]) -> dict[str, Any]:
    reader = engine(name)
    hit = true = read = 0
    seconds, by = [], Counter[str]()
    for document, truth in pages:
        picture = draw(document, dpi)
        started = time.process_time()
        page = reader.read(picture)
        seconds.append(time.process_time() - started)
        found = words(" ".join(page.words))
        hit, true, read = hit + (found & truth).total(), true + truth.total(), read + found.total()
        by[reader.name] += 1
    return {
        "pages": kind,
        "count": len(pages),
        "engine": name,
        "recall": hit / true,
        "precision": hit / max(read, 1),
        "seconds_a_page": sum(seconds) / len(seconds),
        "read_by": dict(by),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--prints", type=int, default=6)
    parser.add_argument("--dpi", type=float, default=200)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print(f"{platform.processor() or 'CPU'}, 1 thread, {args.dpi:g} dpi, load {os.getloadavg()[0]:.1f}")
    if not FUNSD.is_dir():
        print("no FUNSD beside this checkout: printed pages only")
    kinds = {"FUNSD test scans": list(scans(args.scans)), "print": list(prints(args.prints))}
    rows = [measure(name, kind, args.dpi, pages) for kind, pages in kinds.items() if pages for name in args.engines]
    print(f"{'pages':<18}{'count':>6} {'engine':<10}{'recall':>8}{'precision':>11}{'s a page':>10}  read by")
    for row in rows:
        by = ", ".join(f"{name} {count}" for name, count in row["read_by"].items())
        print(
            f"{row['pages']:<18}{row['count']:>6} {row['engine']:<10}{row['recall']:>8.3f}{row['precision']:>11.3f}"
            f"{row['seconds_a_page']:>10.2f}  {by}"
        )
    if args.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
