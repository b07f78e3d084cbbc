"""What more Ray nodes bring, on one machine: `corpus`, pages a second of a build; `training`, those of a run.

    python tests/benchmarks/nodes.py corpus --nodes 1 2 4
    python tests/benchmarks/nodes.py corpus --pdfs ~/papers --rounds 2
    python tests/benchmarks/nodes.py training --nodes 1 2 4 --rounds 1

Each node is a real Ray node of one CPU with processes of its own, beside a head that does no work. More nodes than the
machine has cores cannot be faster: what they show is what another node costs. The nodes take turns, round by round.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

# A script's own folder comes first on the path, and this file would hide a package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from model.tokenizer import train_tokenizer  # noqa: E402
from pipelines.corpus.parts import FACT_SHARDS  # noqa: E402
from pipelines.synthetic import generate  # noqa: E402
from tests.benchmarks.samples import write_corpus  # noqa: E402
from tests.cluster.machines import Machines  # noqa: E402
from tests.model.rows import words_of  # noqa: E402

JOB_PAGES = 8
STEPS = 40


def corpus(address: str, documents: Path) -> float:
    """Pages a second of a build's page stage, from the first finished part on."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "corpus"
        command = [sys.executable, "-m", "cluster.cli", "corpus", "build", str(documents), "--out", str(out)]
        command += ["--ocr", "text-layer", "--shard-pages", str(JOB_PAGES)]
        environment = {**os.environ, "RAY_ADDRESS": address}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        parts = sorted((file.stat().st_mtime, file) for file in (out / FACT_SHARDS).glob("*.parquet"))
        pages = sum(pq.read_metadata(file).num_rows for _, file in parts[1:])
        return pages / (parts[-1][0] - parts[0][0])


def training(address: str, nodes: int, folder: Path) -> float:
    """Pages a second of a run with a worker on each node, the median of its later half."""
    if not (folder / "train").exists():
        write_corpus(folder / "train", 256, 200)
        train_tokenizer([words_of(400, seed) for seed in range(8)], folder / "tokenizer", vocab_size=2_000)
    with tempfile.TemporaryDirectory() as out:
        run = Path(out) / "run"
        command = [
            sys.executable,
            "-m",
            "cluster.cli",
            "pretrain",
            "--corpus",
            str(folder / "train"),
            "--out",
            str(run),
        ]
        command += ["--tokenizer", str(folder / "tokenizer"), "--preset", "tiny", "--workers", str(nodes)]
        command += [
            "--steps",
            str(STEPS),
            "--global-batch-pages",
            "16",
            "--micro-batch-pages",
            "4",
            "--eval-pages",
            "1",
        ]
        environment = {**os.environ, "RAY_ADDRESS": address, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rates = [line["samples_per_second"] for line in lines if line["split"] == "train"]
        return statistics.median(rates[STEPS // 2 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("corpus", "training"))
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--documents", type=int, default=300, help="that are drawn (default: 300)")
    parser.add_argument("--pdfs", type=Path, help="folder of documents to use instead")
    args = parser.parse_args()

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    with tempfile.TemporaryDirectory() as folder:
        documents = args.pdfs or Path(folder) / "documents"
        if args.part == "corpus" and not args.pdfs:
            generate(documents, documents=args.documents, seed=9, scans=0.0, hostile=0)
        measures: dict[str, Callable[[str, int], float]] = {
            "corpus": lambda address, count: corpus(address, documents),
            "training": lambda address, count: training(address, count, Path(folder)),
        }
        rates: dict[int, list[float]] = {count: [] for count in args.nodes}
        for _ in range(args.rounds):
            for count, rate in rates.items():
                machines = Machines(count)
                try:
                    rate.append(measures[args.part](machines.cluster.address, count))
                finally:
                    machines.close()
                print(f"{count} nodes: {rate[-1]:.1f} pages/s", file=sys.stderr)
    base = max(rates[args.nodes[0]])
    print(f"{platform.processor() or 'CPU'}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'nodes':<8}{'pages/s':>9}{'of ' + str(args.nodes[0]):>9}   every round")
    for count, rate in rates.items():
        print(f"{count:<8}{max(rate):>9.1f}{max(rate) / base:>9.2f}   {' '.join(f'{one:.1f}' for one in rate)}")
    print(json.dumps({"part": args.part, "rates": rates}))


if __name__ == "__main__":
    main()
