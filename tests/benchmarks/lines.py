"""Line ids beside docTR's grouping of the same boxes, and beside PyMuPDF's on born-digital pages.

    python tests/benchmarks/lines.py                    # generated pages; SROIE receipts where they are
    python tests/benchmarks/lines.py --receipts 60 --engine rapidocr

SROIE: an OCR word belongs to the annotated line that its centre is in. `same` is the share of pairs of words of one
annotated line that share a line id; `apart` the share of pairs of vertically neighbouring annotated lines, without
vertical overlap, of which no word shares an id. F1 is over pairs of words: those of one annotated line are to share an
id, those of lines that do not overlap vertically are not, and others (beside each other in two annotated lines) are
not asked. Generated pages: `exact` is the share of pages whose line ids are those they were drawn with, F1 over all
pairs.
docTR breaks its lines at wide gaps, which the contract does not: `docTR rows` is docTR without those breaks.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pymupdf
from doctr.models.builder import DocumentBuilder
from PIL import Image

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.labels.geometry import deskew, estimate_skew  # noqa: E402
from pipelines.labels.lines import line_ids  # noqa: E402
from pipelines.ocr import engine  # noqa: E402
from pipelines.synthetic import KINDS  # noqa: E402
from pipelines.synthetic.pdf import pdf_bytes  # noqa: E402
from pipelines.synthetic.scans import turned  # noqa: E402

SROIE = Path(__file__).resolve().parents[3] / "shared" / "data" / "sroie"
Group = Callable[[np.ndarray, float, float], np.ndarray]


class Receipt(NamedTuple):
    width: float
    height: float
    boxes: np.ndarray  # [N, 4] pixels, of all OCR words
    line: np.ndarray  # [N] annotated line of each, -1 for none
    lines: np.ndarray  # [L, 4] upright boxes of the annotated lines


class Rows(DocumentBuilder):
    """docTR's grouping without its breaks at wide gaps."""

    def _resolve_sub_lines(self, boxes, word_idcs, break_dist=None):
        return [list(word_idcs)]


def ours(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    return line_ids(deskew(boxes, estimate_skew(boxes)))


def doctr(builder: DocumentBuilder) -> Group:
    def group(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
        ids = np.zeros(len(boxes), np.int64)
        shares = boxes / np.array([width, height] * 2)
        for number, words in enumerate(builder._resolve_lines(shares, (int(height), int(width))) if len(boxes) else []):
            ids[words] = number
        return ids

    return group


GROUPS: dict[str, Group] = {"ours": ours, "docTR": doctr(DocumentBuilder()), "docTR rows": doctr(Rows())}


def receipts(count: int, name: str) -> Iterator[Receipt]:
    reader = engine(name)
    for row in [json.loads(text) for text in (SROIE / "labels.jsonl").read_text().splitlines()][
        :: max(1, 626 // count)
    ]:
        picture = np.asarray(Image.open(next((SROIE / "img").glob(f"{row['id']}.*"))).convert("RGB"))
        height, width = picture.shape[:2]
        boxes = reader.read(picture).boxes * np.array([width, height] * 2, np.float32)
        quads = np.array([line["quad"] for line in row["lines"]], np.float64).reshape(-1, 4, 2)
        lines = np.concatenate([quads.min(1), quads.max(1)], axis=1)
        centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        inside = ((centre >= lines[:, :2]) & (centre <= lines[:, 2:])).all(axis=2)
        off = np.where(inside, np.abs(centre[:, :, 1] - (lines[:, 1] + lines[:, 3]) / 2), np.inf)
        yield Receipt(width, height, boxes, np.where(inside.any(1), off.argmin(1), -1), lines)


def neighbours(lines: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of an upper and a lower line without vertical overlap and with no line wholly between them."""
    for upper in range(len(lines)):
        below = np.flatnonzero(lines[:, 1] >= lines[upper, 3])
        for lower in below:
            if not (lines[below[below != lower], 3] <= lines[lower, 1]).any():
                yield upper, int(lower)


def f1(hit: int, wrong: int, missed: int) -> float:
    return 2 * hit / max(1, 2 * hit + wrong + missed)


def on_receipts(pages: list[Receipt], group: Group) -> tuple[float, float, float]:
    hit = missed = wrong = kept = asked = 0
    for page in pages:
        known = page.line >= 0
        ids, line = group(page.boxes, page.width, page.height)[known], page.line[known]
        first, second = np.triu_indices(len(ids), 1)
        shared, same = ids[first] == ids[second], line[first] == line[second]
        box = page.lines[line]
        beside = np.minimum(box[first, 3], box[second, 3]) > np.maximum(box[first, 1], box[second, 1])
        hit, missed = hit + int((same & shared).sum()), missed + int((same & ~shared).sum())
        wrong += int((shared & ~beside & ~same).sum())
        present = np.unique(line)
        for upper, lower in neighbours(page.lines[present]):
            asked += 1
            kept += not np.isin(ids[line == present[upper]], ids[line == present[lower]]).any()
    return hit / max(1, hit + missed), kept / max(1, asked), f1(hit, wrong, missed)


def generated(seeds: int) -> Iterator[tuple[float, np.ndarray, float, float, np.ndarray, np.ndarray | None]]:
    """Degrees of skew, boxes, page size, true lines, and PyMuPDF's lines where the page was not turned."""
    for make in KINDS.values():
        for seed in range(100, 100 + seeds):
            sheets = make(random.Random(seed))
            with pymupdf.open(stream=pdf_bytes(sheets), filetype="pdf") as pdf:
                for page, sheet in zip(pdf, sheets, strict=True):
                    truth = sheet.truth()
                    found = page.get_text("words")
                    boxes = np.array([tuple(pymupdf.Rect(word[:4]) * page.rotation_matrix) for word in found])
                    nearest = np.abs(boxes[:, None] - truth.boxes).max(axis=2).argmin(axis=1)
                    _, theirs = np.unique([word[5:7] for word in found], axis=0, return_inverse=True)
                    yield 0.0, boxes.astype(np.float32), truth.width, truth.height, truth.line_ids[nearest], theirs
                    for degrees in (-3.0, -1.0, 0.4, 3.0):
                        skewed = turned(truth, degrees, (truth.width, truth.height))
                        yield degrees, skewed.boxes, skewed.width, skewed.height, truth.line_ids, None


def on_generated(seeds: int) -> dict[str, tuple[float, float, int]]:
    """Share of exact pages and pairwise F1, with the number of pages."""
    counts: dict[str, list[int]] = {}
    for degrees, boxes, width, height, truth, theirs in generated(seeds):
        kind = "skewed" if degrees else "text layer"
        named = {f"{kind}, {name}": group(boxes, width, height) for name, group in GROUPS.items()}
        if theirs is not None:
            named[f"{kind}, PyMuPDF"] = theirs
        first, second = np.triu_indices(len(truth), 1)
        same = truth[first] == truth[second]
        for name, ids in named.items():
            shared = ids[first] == ids[second]
            exact, pages, hit, wrong, missed = counts.setdefault(name, [0] * 5)
            counts[name] = [
                exact + bool((shared == same).all()),
                pages + 1,
                hit + int((same & shared).sum()),
                wrong + int((shared & ~same).sum()),
                missed + int((same & ~shared).sum()),
            ]
    return {name: (exact / pages, f1(*pairs), pages) for name, (exact, pages, *pairs) in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receipts", type=int, default=100)
    parser.add_argument("--engine", default="tesseract")
    parser.add_argument("--seeds", type=int, default=12, help="generated documents of each kind")
    args = parser.parse_args()
    print(f"{'generated pages':<28}{'pages':>7}{'exact':>8}{'F1':>9}")
    for name, (exact, score, pages) in sorted(on_generated(args.seeds).items()):
        print(f"{name:<28}{pages:>7}{exact:>8.3f}{score:>9.4f}")
    if not SROIE.is_dir():
        print("no SROIE beside this checkout: generated pages only")
        return
    pages = list(receipts(args.receipts, args.engine))
    print(f"\n{f'{len(pages)} receipts, {args.engine}':<28}{'same':>8}{'apart':>8}{'F1':>9}")
    for name, group in GROUPS.items():
        same, apart, score = on_receipts(pages, group)
        print(f"{name:<28}{same:>8.4f}{apart:>8.4f}{score:>9.4f}")


if __name__ == "__main__":
    main()
