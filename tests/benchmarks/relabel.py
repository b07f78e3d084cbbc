"""How much faster new labels are than a new build: 4 x 4 to 8 x 8 cells, beside a text-layer build in the same run.

    python tests/benchmarks/relabel.py                     # documents of running text drawn by this script
    python tests/benchmarks/relabel.py --pdfs ~/papers

Ray is started before anything is timed, which favours the build. Rounds take turns, the best of each counts. Ends with
the proof: `corpus diff` of the relabelled corpus against a fresh 8 x 8 build.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import pymupdf

# A script's own folder comes first on the path, and its files would hide packages of their names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.building.build import build  # noqa: E402
from pipelines.building.update import update  # noqa: E402
from pipelines.corpus.diff import diff  # noqa: E402
from pipelines.settings import CorpusSettings  # noqa: E402
from pipelines.stream import start_ray  # noqa: E402
from pipelines.synthetic.phrases import BUSINESS, CLAUSES  # noqa: E402

OLD = CorpusSettings(ocr="text-layer")
NEW = OLD.model_copy(update={"grid_rows": 8, "grid_columns": 8})


def draw(folder: Path, documents: int, pages: int) -> None:
    """Documents of about 450 words a page."""
    words = " ".join(BUSINESS + CLAUSES).replace("{", "").replace("}", "").split()
    for number in range(documents):
        pick = random.Random(number)
        with pymupdf.open() as pdf:
            for _ in range(pages):
                text = " ".join(pick.choices(words, k=450))
                pdf.new_page(width=612, height=792).insert_textbox((50, 50, 562, 742), text, fontsize=10)
            pdf.save(folder / f"{number}.pdf")


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path)
    parser.add_argument("--documents", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    start_ray()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = args.pdfs or folder / "in"
        if args.pdfs is None:
            source.mkdir()
            draw(source, args.documents, 8)
        built, relabelled, stages = [], [], []
        for turn in range(args.rounds):
            whole = build([str(source)], folder / f"whole{turn}", NEW)
            built.append(whole.seconds)
            stages.append(json.loads((folder / f"whole{turn}" / "manifest.json").read_text())["stages"])
            if turn == 0:
                build([str(source)], folder / "corpus", OLD)
            relabelled.append(update(folder / "corpus", [], NEW, folder / f"new{turn}").seconds)
        differences = diff(folder / "new0", folder / "whole0")
        page_stage = min(stage["pages"]["seconds"] for stage in stages)
        figures = {
            "pages": whole.pages,
            "words": whole.words,
            "cpus": os.cpu_count(),
            "build_seconds": min(built),
            "build_page_stage_seconds": page_stage,
            "relabel_seconds": min(relabelled),
            "times_faster_than_the_build": round(min(built) / min(relabelled), 1),
            "times_faster_than_its_page_stage": round(page_stage / min(relabelled), 1),
            "pages_that_differ_from_a_fresh_build": len(differences.changed)
            + len(differences.only_a)
            + len(differences.only_b),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
