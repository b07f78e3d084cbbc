"""What `docformer plan --sources` foretells of a corpus build, beside the build itself: time and disk.

    python tests/benchmarks/plan_corpus.py ~/papers

A tenth of the pages is read for the forecast, then everything is built. Both should be alone on the machine; processor
time is disturbed less where they are not.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import ray

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.planning.corpus_sample import LOOKED_AT, forecast  # noqa: E402
from pipelines.corpus.stats import stats  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402


def main() -> None:
    """Print forecast, build and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--share", type=float, default=0.1, help="of the pages that is read")
    parser.add_argument("--look-at", type=int, default=LOOKED_AT, help="documents looked at, at most")
    parser.add_argument("--keep", type=Path, help="build here and keep it")
    args = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")  # else any other program would come before both
    told = forecast(args.sources, CorpusSettings(), args.share, args.look_at)
    ray.shutdown()
    for kind, cost in told.costs.items():
        print(
            f"{kind}: {cost.pages:.0f} pages, {cost.read} read, {cost.seconds:.3f} s ({cost.cpu_s:.3f} s CPU) "
            f"and {cost.page_bytes / 1e3:.0f} kB each, {cost.taken:.0%} taken"
        )
    print(f"start {told.start_s:.1f} s, inventory {told.inventory_s * 1e3:.1f} ms a file, engines {told.load_s:.1f} s")
    print(f"forecast made in {told.measuring_s:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out, started = args.keep or Path(folder) / "corpus", time.monotonic()
        command = [sys.executable, "-m", "cluster.cli", "corpus", "build", *args.sources, "--out", str(out)]
        building = subprocess.Popen(command)
        cpu: dict[int, float] = {}
        while building.poll() is None:
            for process in reading(building.pid):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    cpu[process.pid] = times.user + times.system
            time.sleep(0.5)
        seconds = time.monotonic() - started
        size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
        built = stats(out)
        print(f"built: {built['pages']} pages, {built['quarantined_pages']} not taken, {built['text_sources']}")
        print(f"       {built['speeds']}")
        print(f"time, s:   foretold {told.seconds:.1f}, built {seconds:.1f}, ratio {told.seconds / seconds:.2f}")
        told_cpu = sum(cost.pages * cost.cpu_s for cost in told.costs.values())
        print(f"processors, s, of reading: foretold {told_cpu:.0f}, ", end="")
        print(f"built {sum(cpu.values()):.0f}, ratio {told_cpu / sum(cpu.values()):.2f}")
        print(f"disk, MB:  foretold {told.corpus_bytes / 1e6:.1f}, built {size / 1e6:.1f}, ", end="")
        print(f"ratio {told.corpus_bytes / size:.2f}")


def reading(driver: int) -> Iterator[psutil.Process]:
    """Ray's workers below `driver`, and the children that read for them."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(driver).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if line.startswith("ray::") or "pipelines.pages.reader" in line or "pipelines.ocr.child" in line:
                    yield process


if __name__ == "__main__":
    main()
