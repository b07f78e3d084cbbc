"""Pages a second of a build whose pages are read by OCR, beside the bare engine in as many processes.

    python tests/benchmarks/ocr_path.py --engine auto --pages 24 --rounds 2

`bare loop`: each process draws pages at the build's resolution and reads them with the engine, and does nothing else.
`corpus build`: all of a build's work on the same pages, isolated, with Ray Data. Pages are FUNSD's test scans where
those are, else generated scans. The two take turns; both work in jobs of as many pages, and both rates are from when as
many jobs as there are processes were done to the end of the last, so that the start of processes and engines is left
out. One thread an engine. The engine turns lying pages upright in both, as it always does.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

os.environ |= {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pyarrow.parquet as pq
import pymupdf

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.building.build import build  # noqa: E402
from pipelines.corpus.parts import FACT_SHARDS  # noqa: E402
from pipelines.ocr import OcrEngine, engine  # noqa: E402
from pipelines.ocr.upright import Upright  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.synthetic import generate  # noqa: E402

FUNSD = Path(__file__).resolve().parents[3] / "shared" / "data" / "funsd" / "testing_data" / "images"
JOB_PAGES = 2


def scans(folder: Path, count: int) -> list[Path]:
    """Pictures of pages: FUNSD's, or generated documents without a text layer."""
    if FUNSD.is_dir():
        return sorted(FUNSD.glob("*.png"))[:count]
    generate(folder, documents=count, seed=3, scans=1.0, hostile=0)
    return sorted(folder.glob("*.pdf"))[:count]


@cache
def loaded(name: str) -> OcrEngine:
    return Upright(engine(name))


def read_batch(name: str, dpi: int, batch: list[Path]) -> tuple[int, float]:
    """Draw and read; the pages, and when they were done."""
    reader, pages = loaded(name), 0
    for path in batch:
        with pymupdf.open(path) as document:
            for page in document:
                pixmap = page.get_pixmap(dpi=dpi, alpha=False, colorspace=pymupdf.csRGB)
                reader.read(np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3))
                pages += 1
    return pages, time.time()


def bare_loop(name: str, settings: CorpusSettings, files: list[Path], processes: int) -> float:
    batches = [files[start : start + JOB_PAGES] for start in range(0, len(files), JOB_PAGES)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(read_batch, name, settings.ocr_dpi, batch) for batch in batches]
        return rate([done.result() for done in as_completed(waiting)], processes)


def corpus_build(settings: CorpusSettings, files: list[Path], processes: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "corpus"
        build([str(path) for path in files], out, settings)
        parts = (out / FACT_SHARDS).glob("*.parquet")
        failed = json.loads((out / "manifest.json").read_text())["totals"]["quarantined_pages"]
        if failed:
            print(f"{failed} pages were too poor to be taken; they count in the bare loop alone", file=sys.stderr)
        return rate([(pq.read_metadata(file).num_rows, file.stat().st_mtime) for file in parts], processes)


def rate(done: list[tuple[int, float]], processes: int) -> float:
    """Pages a second after the first job of each process."""
    ordered = sorted(done, key=lambda job: job[1])
    return sum(pages for pages, _ in ordered[processes:]) / (ordered[-1][1] - ordered[processes - 1][1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto", choices=("auto", "rapidocr", "tesseract"))
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()

    # Ray makes its workers give way to other programs; beside a plain pool that would compare niceness.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    import ray

    ray.init(address="local", num_cpus=args.processes, include_dashboard=False, log_to_driver=False, logging_level=40)
    settings = CorpusSettings(
        ocr=args.engine, workers=args.processes, shard_pages=JOB_PAGES, min_ocr_confidence=0.0, min_words=1
    )
    with tempfile.TemporaryDirectory() as folder:
        files = scans(Path(folder), args.pages)
        rounds = []
        for _ in range(args.rounds):
            bare = bare_loop(args.engine, settings, files, args.processes)
            rounds.append((bare, corpus_build(settings, files, args.processes)))
            print(f"bare {rounds[-1][0]:.3f} pages/s, build {rounds[-1][1]:.3f}", file=sys.stderr)
    bare, built = (max(column) for column in zip(*rounds, strict=True))
    print(f"{platform.processor() or 'CPU'}, {args.processes} processes, load {os.getloadavg()[0]:.1f}")
    print(f"{args.engine}, {len(files)} documents, best of {args.rounds} rounds:")
    print(f"bare loop     {bare:.3f} pages/s, {bare / args.processes:.3f} a process")
    ratios = " ".join(f"{mine / base:.3f}" for base, mine in rounds)
    print(f"corpus build  {built:.3f} pages/s, {built / bare:.3f} of the bare loop; round by round {ratios}")


if __name__ == "__main__":
    main()
