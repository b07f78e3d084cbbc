"""What `docformer plan --sources` foretells of a corpus build, beside the build itself: time and disk.

    python tests/benchmarks/plan_corpus.py ~/papers

A tenth of the pages is read for the forecast, then everything is built. Both are alone on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    parser.add_argument("--built", type=Path, help="a corpus of these sources, built before, with its seconds")
    parser.add_argument("--seconds", type=float, help="that building it took, from the command to its end")
    parser.add_argument("--keep", type=Path, help="build here and keep it")
    args = parser.parse_args()
    told = forecast(args.sources, CorpusSettings(), args.share, args.look_at)
    for kind, cost in told.costs.items():
        print(
            f"{kind}: {cost.pages:.0f} pages, {cost.read} read, {cost.seconds:.3f} s and "
            f"{cost.page_bytes / 1e3:.0f} kB each, {cost.taken:.0%} taken"
        )
    print(f"start {told.start_s:.1f} s, inventory {told.inventory_s * 1e3:.1f} ms a file, engines {told.load_s:.1f} s")
    print(f"forecast made in {told.measuring_s:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out, seconds = args.built, args.seconds
        if out is None:
            out, started = args.keep or Path(folder) / "corpus", time.monotonic()
            command = [sys.executable, "-m", "cluster.cli", "corpus", "build", *args.sources, "--out", str(out)]
            subprocess.run(command, check=True)
            seconds = time.monotonic() - started
        size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
        built = stats(out)
        print(f"built: {built['pages']} pages, {built['quarantined_pages']} not taken, {built['text_sources']}")
        print(f"       {built['speeds']}")
        print(f"time, s:   foretold {told.seconds:.1f}, built {seconds:.1f}, ratio {told.seconds / seconds:.2f}")
        print(f"disk, MB:  foretold {told.corpus_bytes / 1e6:.1f}, built {size / 1e6:.1f}, ", end="")
        print(f"ratio {told.corpus_bytes / size:.2f}")


if __name__ == "__main__":
    main()
