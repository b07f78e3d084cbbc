"""Pages a second of the text-layer path, beside a bare loop that does the same work in as many processes.

    python tests/benchmarks/pages.py                          # born-digital PDFs drawn by this script
    python tests/benchmarks/pages.py --pdfs ~/papers ~/invoices --processes 4

The ways take turns over the same files, so that a busy moment of the machine strikes all of them; the best round
counts, and ratios are also taken round by round. `PyMuPDF alone`: words and a JPEG of 768 pixels a page, nothing else.
`bare loop`: the same work as a build, without isolation and without Ray: words, picture, trust checks, labels,
language, facts, digests, Parquet. `isolated`: that through the reading child. `corpus build`: all of it with Ray Data;
its rate is from when as many parts as there are processes were written to the last one, so that start-up (printed) and
the inventory are left out.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pymupdf
from PIL import Image

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.building.build import build  # noqa: E402
from pipelines.building.jobs import KEPT_OUT, page_maker, read_job  # noqa: E402
from pipelines.corpus.parts import FACT_SHARDS, KINDS  # noqa: E402
from pipelines.pages.isolation import PageReader  # noqa: E402
from pipelines.pages.reader import Document  # noqa: E402
from pipelines.pages.rows import PageMaker  # noqa: E402
from pipelines.quarantine import DropError  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.sources.address import SourceFile  # noqa: E402
from pipelines.synthetic.phrases import BUSINESS, CLAUSES  # noqa: E402

WORDS = re.findall(r"\b[a-z]{2,}\b", re.sub(r"{\w+}", "", " ".join(BUSINESS + CLAUSES)))
LONG_SIDE, QUALITY = 768, 80
SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=LONG_SIDE, jpeg_quality=QUALITY)
MAX_PAGES = 20
BATCH = 8  # documents of a bare loop's job


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


def usable(folders: Sequence[Path]) -> list[Path]:
    """PDFs whose every page comes through the text-layer path, so that all ways do the same work."""
    maker, files = PageMaker(SETTINGS), []
    for path in sorted(path for folder in folders for path in folder.rglob("*.pdf")):
        try:
            count = maker.reader.open(path.read_bytes(), "pdf")
            if count <= MAX_PAGES and all(maker.reader.read(page).text_layer_trusted for page in range(count)):
                files.append(path)
        except DropError:
            continue
    maker.close()
    return files


def pymupdf_alone(batch: list[Path]) -> int:
    pymupdf.TOOLS.mupdf_display_errors(False)
    pages = 0
    for path in batch:
        with pymupdf.open(path) as pdf:
            for page in pdf:
                page.get_text("words")
                scale = LONG_SIDE / max(page.rect.width, page.rect.height)
                pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
                picture = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
                picture.save(io.BytesIO(), "JPEG", quality=QUALITY)
            pages += len(pdf)
    return pages


class BareReader(PageReader):
    """The reader without a child: the document is opened in this process."""

    def _ask(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        pymupdf.TOOLS.mupdf_display_errors(False)
        if request["do"] == "open":
            self.document = Document(payload, request["kind"], [], request["limits"])
            return {"pages": self.document.pages}, b""
        return self.document.read(request["page"], request["long_side"], request["quality"])

    def _ask_page(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        return self._ask(request, b"")


def read_batch(batch: list[Path], bare: bool) -> int:
    """The work of one job of a build."""
    maker = page_maker(SETTINGS.model_dump_json(), 0)
    if bare and not isinstance(maker.reader, BareReader):
        maker.reader = BareReader(SETTINGS.limits, LONG_SIDE, QUALITY)
    units = []
    for path in batch:
        data = path.read_bytes()
        unit = asdict(SourceFile(path.name, str(path), len(data))) | {"doc_id": hashlib.sha256(data).hexdigest()}
        pages = maker.reader.open(data, "pdf")
        units.append({**unit, "kind": "pdf", "pages": pages, "first": 0, "end": pages})
    name = f"part-{hashlib.sha256(str(batch).encode()).hexdigest()[:16]}.parquet"
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            (Path(folder) / kind).mkdir(parents=True, exist_ok=True)
        np.save(Path(folder) / KEPT_OUT, np.zeros(0, np.uint64))
        done = read_job(SETTINGS.model_dump_json(), folder, 0, json.dumps({"name": name, "units": units}))
    return int(done["pages"])


def bare_loop(batch: list[Path]) -> int:
    return read_batch(batch, bare=True)


def isolated(batch: list[Path]) -> int:
    return read_batch(batch, bare=False)


def in_processes(work: Callable[[list[Path]], int], files: list[Path], processes: int) -> float:
    """Pages a second of `work` over `files`, the start of the processes left out."""
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, batches[:processes]))
        started = time.perf_counter()
        pages = sum(pool.map(work, batches, chunksize=1))
        return pages / (time.perf_counter() - started)


def corpus(files: list[Path], processes: int) -> tuple[float, float]:
    """Pages a second of a build's page stage without its start, and the seconds that the start took."""
    with tempfile.TemporaryDirectory() as folder:
        settings = SETTINGS.model_copy(update={"workers": processes})
        out = Path(folder) / "corpus"
        build([str(path) for path in files], out, settings)
        stage = json.loads((out / "manifest.json").read_text())["stages"]["pages"]
        parts = sorted((file.stat().st_mtime, file) for file in (out / FACT_SHARDS).glob("*.parquet"))
        counted = sum(pq.read_metadata(file).num_rows for _, file in parts[processes:])
        spent = parts[-1][0] - parts[processes - 1][0]
        return counted / spent, float(stage["seconds"]) - float(stage["items"]) * spent / counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path, nargs="+", help="folders of PDFs (default: drawn by this script)")
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
        pages = 0
        for path in files:
            with pymupdf.open(path) as pdf:
                pages += len(pdf)
        starts: list[float] = []

        def with_build() -> float:
            rate, start = corpus(files, args.processes)
            starts.append(start)
            return rate

        ways: dict[str, Callable[[], float]] = {
            "PyMuPDF alone": lambda: in_processes(pymupdf_alone, files, args.processes),
            "bare loop": lambda: in_processes(bare_loop, files, args.processes),
            "isolated": lambda: in_processes(isolated, files, args.processes),
            "corpus build": with_build,
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                rates[name].append(way())
    base = max(rates["bare loop"])
    print(
        f"{platform.processor() or 'CPU'}, {args.processes} processes, load {os.getloadavg()[0]:.1f}, "
        f"{len(files)} documents, {pages} pages, best of {args.rounds}"
    )
    print(f"{'':<24}{'pages/s':>9}{'a process':>11}{'of bare loop':>14}   round by round")
    for name, rate in rates.items():
        rounds = " ".join(f"{mine / bare:.2f}" for mine, bare in zip(rate, rates["bare loop"], strict=True))
        print(f"{name:<24}{max(rate):>9.1f}{max(rate) / args.processes:>11.1f}{max(rate) / base:>14.2f}   {rounds}")
    each = {name: [round(one, 1) for one in rate] for name, rate in rates.items()}
    print(f"pages/s of each round: {each}")
    print(f"start of a build's page stage, left out: {min(starts):.1f} s")
    if args.json:
        print(json.dumps({"processes": args.processes, "documents": len(files), "pages_per_second": rates}, indent=2))


if __name__ == "__main__":
    main()
