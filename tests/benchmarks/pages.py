"""Pages a second of the text-layer path, beside a bare PyMuPDF loop that does the same work in as many processes.

    python tests/benchmarks/pages.py                          # born-digital PDFs drawn by this script
    python tests/benchmarks/pages.py --pdfs ~/papers --processes 4

Three ways take turns over the same files, so that a busy moment of the machine strikes all of them; the best round
counts. `bare loop`: words and a JPEG of 768 pixels a page, in this many processes, nothing else. `reader and labels`:
the same through the isolated reading child, with trust checks, reading order, lines and grid, without Ray. `corpus
build`: all of it with Ray Data into Parquet; the page stage alone, without start-up and inventory. pdfplumber is
measured where it is installed.
"""

import argparse
import hashlib
import importlib.util
import io
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pymupdf
from PIL import Image

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.build import build  # noqa: E402
from pipelines.quarantine import DropError  # noqa: E402
from pipelines.rows import PageMaker  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.synthetic.phrases import BUSINESS, CLAUSES  # noqa: E402

WORDS = re.findall(r"\b[a-z]{2,}\b", re.sub(r"{\w+}", "", " ".join(BUSINESS + CLAUSES)))
LONG_SIDE, QUALITY = 768, 80
SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=LONG_SIDE, jpeg_quality=QUALITY)
MAX_PAGES = 20


def draw_documents(folder: Path, count: int = 40, pages: int = 4) -> list[Path]:
    """Documents of running text in one or two columns, some hundred words a page."""
    for number in range(count):
        pick = random.Random(number)
        with pymupdf.open() as pdf:
            for _ in range(pages):
                sheet = pdf.new_page(width=612, height=792)
                columns = 1 + number % 2
                for column in range(columns):
                    wide = 512 / columns
                    box = (50 + column * wide, 50, 40 + (column + 1) * wide, 742)
                    text = " ".join(pick.choice(WORDS) for _ in range(700 // columns))
                    sheet.insert_textbox(box, text, fontsize=9, fontname=("helv", "tiro")[number % 2])
                for line in range(8):
                    sheet.draw_line((50, 60 + 80 * line), (562, 60 + 80 * line))
            pdf.save(folder / f"{number}.pdf")
    return sorted(folder.glob("*.pdf"))


def usable(folder: Path) -> list[Path]:
    """PDFs whose every page comes through the text-layer path, so that all ways do the same work."""
    maker, files = PageMaker(SETTINGS), []
    for path in sorted(folder.rglob("*.pdf")):
        try:
            count = maker.reader.open(path.read_bytes(), "pdf")
            if count <= MAX_PAGES and all(maker.reader.read(page).text_layer_trusted for page in range(count)):
                files.append(path)
        except DropError:
            continue
    maker.close()
    return files


def bare(path: Path) -> int:
    pymupdf.TOOLS.mupdf_display_errors(False)
    with pymupdf.open(path) as pdf:
        for page in pdf:
            page.get_text("words")
            scale = LONG_SIDE / max(page.rect.width, page.rect.height)
            pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
            picture = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
            picture.save(io.BytesIO(), "JPEG", quality=QUALITY)
        return len(pdf)


def plumber(path: Path) -> int:
    import pdfplumber

    with pdfplumber.open(path) as pdf:
        for page in pdf.pages:
            page.extract_words()
        return len(pdf.pages)


maker: PageMaker | None = None


def ours(path: Path) -> int:
    global maker
    maker = maker or PageMaker(SETTINGS)
    data = path.read_bytes()
    pages = maker.reader.open(data, "pdf")
    unit = {"uri": path.name, "path": str(path), "size": len(data), "doc_id": hashlib.sha256(data).hexdigest()}
    taken, _ = maker.rows({**unit, "kind": "pdf", "pages": pages, "first": 0, "end": pages})
    return len(taken)


def in_processes(work: Callable[[Path], int], files: list[Path], processes: int) -> float:
    """Pages a second of `work` over `files`, the start of the processes left out."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, files[:processes]))
        started = time.perf_counter()
        pages = sum(pool.map(work, files, chunksize=1))
        return pages / (time.perf_counter() - started)


def corpus(files: list[Path], processes: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = SETTINGS.model_copy(update={"workers": processes})
        build([str(path) for path in files], Path(folder) / "corpus", settings)
        stage = json.loads((Path(folder) / "corpus" / "manifest.json").read_text())["stages"]["pages"]
        return float(stage["items"]) / float(stage["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path, help="folder of PDFs (default: drawn by this script)")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    # Ray makes its workers give way to other programs; beside a plain pool that would compare niceness.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    import ray

    ray.init(address="local", num_cpus=args.processes, include_dashboard=False, log_to_driver=False, logging_level=40)
    with tempfile.TemporaryDirectory() as folder:
        files = usable(args.pdfs) if args.pdfs else draw_documents(Path(folder))
        ways: dict[str, Callable[[], float]] = {
            "bare loop": lambda: in_processes(bare, files, args.processes),
            "reader and labels": lambda: in_processes(ours, files, args.processes),
            "corpus build": lambda: corpus(files, args.processes),
        }
        if importlib.util.find_spec("pdfplumber"):
            ways["pdfplumber, words only"] = lambda: in_processes(plumber, files, args.processes)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                rates[name].append(way())
    base = max(rates["bare loop"])
    print(
        f"{platform.processor() or 'CPU'}, {args.processes} processes, load {os.getloadavg()[0]:.1f}, "
        f"{len(files)} documents, best of {args.rounds}"
    )
    print(f"{'':<24}{'pages/s':>9}{'a process':>11}{'of bare loop':>14}")
    for name, rate in rates.items():
        print(f"{name:<24}{max(rate):>9.1f}{max(rate) / args.processes:>11.1f}{max(rate) / base:>14.2f}")
    if args.json:
        print(json.dumps({"processes": args.processes, "documents": len(files), "pages_per_second": rates}, indent=2))


if __name__ == "__main__":
    main()
