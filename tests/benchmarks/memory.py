"""Memory of one worker and its reading child over many distinct generated pages: the peak, and whether it grows.

    python tests/benchmarks/memory.py                    # 10,000 pages of the text-layer path
    python tests/benchmarks/memory.py --pages 1000

Prints resident MiB of both processes every tenth of the way; `engine` is what both hold after the first document.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.pages.rows import PageMaker  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.sources.address import SourceFile  # noqa: E402
from pipelines.synthetic import generate  # noqa: E402

ROUND = 50  # documents generated at a time


def resident(maker: PageMaker) -> int:
    """Bytes of this process and the reading child."""
    child = maker.reader.child_pid
    processes = [psutil.Process(), *([psutil.Process(child)] if child else [])]
    return sum(process.memory_info().rss for process in processes)


def measure(pages: int) -> Iterator[tuple[int, int]]:
    """Pages done and resident bytes, after each document."""
    maker, done, seed = PageMaker(CorpusSettings(ocr="text-layer")), 0, 0
    while done < pages:
        with tempfile.TemporaryDirectory() as folder:
            for truth in generate(Path(folder), ROUND, seed, 0.0, 0):
                path = Path(folder) / truth.name
                data = path.read_bytes()
                unit = asdict(SourceFile(truth.name, str(path), len(data))) | {
                    "doc_id": hashlib.sha256(data).hexdigest(),
                    "kind": "pdf",
                    "pages": len(truth.pages),
                    "first": 0,
                    "end": len(truth.pages),
                }
                taken, dropped = maker.rows(unit)
                done += len(taken) + len(dropped)
                yield done, resident(maker)
        seed += 1
    maker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10_000)
    args = parser.parse_args()
    first = peak = printed = 0
    print(f"{'pages':>7}{'resident MiB':>14}{'peak over engine MiB':>22}")
    for done, now in measure(args.pages):
        first = first or now
        peak = max(peak, now)
        if done >= printed + args.pages // 10:
            printed = done
            print(f"{done:>7}{now / 2**20:>14.0f}{(peak - first) / 2**20:>22.0f}", flush=True)


if __name__ == "__main__":
    main()
