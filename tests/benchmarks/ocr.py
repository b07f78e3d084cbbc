"""Words and time of each OCR engine, side by side: FUNSD's test scans and print drawn by this script.

    python tests/benchmarks/ocr.py                        # 50 scans where they are, 6 printed pages
    python tests/benchmarks/ocr.py --scans 10 --dpi 150
    python tests/benchmarks/ocr.py --engines doctr        # pretrained networks; on a GPU where there is one
    python tests/benchmarks/ocr.py --engines doctr --untrained --scans 4    # without them: its time alone

Three measures of the words, each as recall and precision. `boxes`: words as annotated, matched one to one at IoU >= 0.5
with text equal after NFKC and casefold. `words`: those words as a bag, parted at white space. `runs`: runs of letters
and digits as a bag, since annotators part words at punctuation (212- 450- 4785) and engines do not. One process and one
thread; seconds are of processor time, so that a busy machine changes them little; of wall time on a GPU. `auto` is what
a build uses on scans.
"""

import argparse
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pymupdf
from scipy.optimize import linear_sum_assignment

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.ocr import OcrPage, engine  # noqa: E402
from pipelines.synthetic.phrases import BUSINESS, CLAUSES  # noqa: E402

FUNSD = Path(__file__).resolve().parents[3] / "shared" / "data" / "funsd" / "testing_data"
WORDS = re.findall(r"\b[a-z]{2,}\b", re.sub(r"{\w+}", "", " ".join(BUSINESS + CLAUSES)))
ENGINES = ("tesseract", "rapidocr", "auto")


@dataclass
class Truth:
    """Words of a page, and their boxes [N, 4] as shares of it; no boxes: not annotated."""

    words: list[str]
    boxes: np.ndarray | None = None


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def runs(words: list[str]) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", plain(" ".join(words))))


def bag(words: list[str]) -> Counter[str]:
    return Counter(plain(" ".join(words)).split())


def matched(truth: Truth, words: list[str], boxes: np.ndarray) -> int:
    """Words matched one to one with a box of IoU >= 0.5 and equal text."""
    if truth.boxes is None or not words:
        return 0
    low = np.maximum(truth.boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(truth.boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (truth.boxes, boxes)]
    overlap = both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-12)
    equal = np.array([[plain(one) == plain(other) for other in words] for one in truth.words])
    good = (overlap >= 0.5) & equal
    return int(good[linear_sum_assignment(-good.astype(float))].sum())


def draw(document: Any, dpi: float) -> np.ndarray:
    pixmap = document[0].get_pixmap(matrix=pymupdf.Matrix(dpi / 72, dpi / 72), alpha=False, colorspace=pymupdf.csRGB)
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


def scans(count: int) -> Iterator[tuple[Any, Truth]]:
    for image in sorted((FUNSD / "images").glob("*.png"))[:count]:
        form = json.loads((FUNSD / "annotations" / f"{image.stem}.json").read_text())["form"]
        words = [word for entity in form for word in entity["words"] if word["text"].strip()]
        picture = pymupdf.Pixmap(image)
        size = np.array([picture.width, picture.height] * 2)
        yield pymupdf.open(image), Truth([word["text"] for word in words], np.array([w["box"] for w in words]) / size)


def prints(count: int) -> Iterator[tuple[Any, Truth]]:
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
        yield document, Truth((sheet.get_text() if left < 0 else text).split())


def measure(name: str, kind: str, args: argparse.Namespace, pages: list[tuple[Any, Truth]]) -> dict[str, Any]:
    reader = doctr(args) if name == "doctr" else engine(name)
    batch = args.batch_pages if name == "doctr" else 1
    clock = time.perf_counter if name == "doctr" and on_gpu() else time.process_time
    hit, true, read, by = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    seconds = 0.0
    read_pages: list[OcrPage] = []
    for start in range(0, len(pages), batch):
        pictures = [draw(document, args.dpi) for document, _ in pages[start : start + batch]]
        if not start:
            reader.read(pictures[0])  # a GPU's first page waits for its libraries
        started = clock()
        read_pages += reader.read_batch(pictures) if batch > 1 else map(reader.read, pictures)
        seconds += clock() - started
        by[reader.name] += len(pictures)
    for (_, truth), page in zip(pages, read_pages, strict=True):
        for measure_name, count in (("runs", runs), ("words", bag)):
            mine, its = count(truth.words), count(page.words)
            hit[measure_name] += (mine & its).total()
            true[measure_name] += mine.total()
            read[measure_name] += its.total()
        if truth.boxes is not None:
            hit["boxes"] += matched(truth, page.words, page.boxes)
            true["boxes"] += len(truth.words)
            read["boxes"] += len(page.words)
    return {
        "pages": kind,
        "count": len(pages),
        "engine": name,
        "recall": {key: hit[key] / true[key] for key in true},
        "precision": {key: hit[key] / max(read[key], 1) for key in true},
        "seconds_a_page": seconds / len(pages),
        "pages_a_second": len(pages) / seconds,
        "read_by": dict(by),
    }


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def doctr(args: argparse.Namespace) -> Any:
    """Networks of docTR, pretrained, or of random weights, which find nothing that is there."""
    options = {"detection": args.detection, "recognition": args.recognition, "batch_pages": args.batch_pages}
    if not args.untrained:
        return engine("doctr", **options, weights=args.doctr_weights)
    import torch
    from doctr.models import detection, recognition

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for module, name in ((detection, args.detection), (recognition, args.recognition)):
            network = getattr(module, name)(pretrained=False, pretrained_backbone=False)
            torch.save(network.state_dict(), Path(folder) / f"{name}.pt")
        return engine("doctr", **options, weights=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--prints", type=int, default=6)
    parser.add_argument("--dpi", type=float, default=200)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=[*ENGINES, "doctr"])
    parser.add_argument("--detection", default="fast_base", help="docTR's, as are the next four")
    parser.add_argument("--recognition", default="crnn_vgg16_bn")
    parser.add_argument("--doctr-weights", default="", help="folder with both as NAME.pt; else its cache or download")
    parser.add_argument("--untrained", action="store_true", help="networks of random weights")
    parser.add_argument("--batch-pages", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print(f"{platform.processor() or 'CPU'}, 1 thread, {args.dpi:g} dpi, load {os.getloadavg()[0]:.1f}")
    if not FUNSD.is_dir():
        print("no FUNSD beside this checkout: printed pages only")
    kinds = {"FUNSD test scans": list(scans(args.scans)), "print": list(prints(args.prints))}
    rows = [measure(name, kind, args, pages) for kind, pages in kinds.items() if pages for name in args.engines]
    heads = "".join(f"{name:>15}" for name in ("runs", "words", "boxes"))
    print(f"{'pages':<18}{'count':>6} {'engine':<10}{heads}{'s a page':>10}{'pages/s':>9}  read by")
    for row in rows:
        by = ", ".join(f"{name} {count}" for name, count in row["read_by"].items())
        scores = "".join(
            f"{row['recall'][key]:>8.3f} /{row['precision'][key]:.3f}" if key in row["recall"] else " " * 15
            for key in ("runs", "words", "boxes")
        )
        print(
            f"{row['pages']:<18}{row['count']:>6} {row['engine']:<10}{scores}{row['seconds_a_page']:>10.2f}"
            f"{row['pages_a_second']:>9.2f}  {by}"
        )
    if args.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
