"""The whole journey in miniature: documents, corpus, tokenizer, pretraining, held-out scores, report."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.runs.scores import Score, score_lines
from cluster.stages import Stages, duration
from pipelines.errors import StoppedError, UsageError

MARKER = ".docformer-demo"
OWN = ("documents", "corpus", "tokenizer", "run", "report.html", "scores.json")
RECIPES = Path(__file__).parent / "recipes"


def run_demo(pdfs: Path | None, out: Path, recipe: Path | None = None) -> list[Score]:
    """Run the journey, print its scores and where the report is, and return the scores.

    Args:
        pdfs: folder of documents, or None for documents that the project generates.
        out: folder of everything that the demo writes; an earlier demo's results in it are replaced.
        recipe: YAML file with the sections demo, corpus, tokenizer and pretrain; `recipes/demo.yaml` when None.

    Raises:
        UsageError: `pdfs` is no folder, or `out` holds something that no demo made; nothing is touched then.
        JobError: no document was taken.
        StoppedError: a signal ended the pretraining.
    """
    if pdfs is not None and not pdfs.is_dir():
        raise UsageError(f"{pdfs} is not a folder; give --pdfs a folder of PDFs or page pictures")
    recipe = recipe or RECIPES / ("demo.yaml" if pdfs is None else "demo-pdfs.yaml")
    clear_own_output(out, pdfs)
    titles = ["documents"] if pdfs is None else []
    stages = Stages([*titles, "corpus", "tokenizer", "pretraining", "report"])
    try:
        return _journey(pdfs, out, recipe, stages)
    finally:
        _stop_ray()


def clear_own_output(out: Path, pdfs: Path | None = None) -> None:
    """Make `out` a folder marked as a demo's, without an earlier demo's results.

    Only what a demo writes is deleted, by name, and only in a folder with a demo's marker.

    Raises:
        UsageError: `out` is a file, holds something that no demo made, or the documents lie in what would be deleted.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give --out a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UsageError(f"{out} holds something that no demo made; give --out a new folder, or empty this one")
    if pdfs is not None and any(pdfs.resolve().is_relative_to((out / name).resolve()) for name in OWN):
        raise UsageError(f"{pdfs} lies in what the demo would replace; copy the documents elsewhere, or change --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("This folder belongs to `docformer demo`, which replaces its own files in it.\n")
    for name in OWN:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _journey(pdfs: Path | None, out: Path, recipe: Path, stages: Stages) -> list[Score]:
    from cluster.options import load_settings, read_section

    wanted = read_section(recipe, "demo")
    if pdfs is None:
        with stages.stage("documents"):
            _documents(out / "documents", wanted, stages)

    with stages.stage("corpus"):
        from pipelines.building.build import build
        from pipelines.corpus.reader import Corpus
        from pipelines.settings import CorpusSettings

        settings = load_settings(CorpusSettings, "corpus", recipe, {})
        summary = build([str(pdfs or out / "documents")], out / "corpus", settings)
        corpus = Corpus.open(out / "corpus")
        if summary.taken < 2:
            raise UsageError(f"{pdfs}: one document was taken; held-out scores need two or more")
        stages.wrote(f"{out / 'corpus'}: {summary.found} documents, {summary.taken} taken, {summary.pages} pages")

    with stages.stage("tokenizer"):
        from model.tokenizer import train_tokenizer

        size = int(read_section(recipe, "tokenizer").get("vocab_size", 2000))
        entries = train_tokenizer((row["words"] for row in corpus.rows(["words"])), out / "tokenizer", vocab_size=size)
        stages.wrote(f"{out / 'tokenizer'}: {entries} entries")

    with stages.stage("pretraining"):
        from cluster.pretraining import pretrain
        from cluster.settings import PretrainSettings

        run = out / "run"
        places = {"corpus": str(out / "corpus"), "out": str(run), "tokenizer": str(out / "tokenizer")}
        pretrain_settings = load_settings(PretrainSettings, "pretrain", recipe, places)
        ended = pretrain(pretrain_settings, resume=False)
        if ended.signal:
            raise StoppedError(ended.signal)
        stages.wrote(f"{run}: {ended.steps} steps, {ended.samples} samples")

    with stages.stage("report"):
        from cluster.workflow.evaluate import evaluate

        evaluated = evaluate(run, out, _facts(stages.seconds, pdfs, recipe))
        stages.wrote(f"{evaluated.report}, {evaluated.report.stat().st_size / 1e6:.1f} MB")

    print("\n".join(["", *score_lines(evaluated.scores), ""]))
    for span in evaluated.spans:
        print(f"  … {span.before[-60:]} [{span.gold}] {span.after[:40]} …")
        print(f"    model wrote: {span.predicted or '(nothing)'}")
    print(f"\nDone in {duration(stages.total_seconds)}. Open {evaluated.report} in a browser.")
    return evaluated.scores


def _documents(folder: Path, wanted: Mapping[str, Any], stages: Stages) -> None:
    from pipelines.synthetic import generate

    truths = generate(
        folder,
        documents=int(wanted.get("documents", 300)),
        seed=int(wanted.get("seed", 0)),
        scans=float(wanted.get("scans", 0.04)),
        hostile=int(wanted.get("hostile", 6)),
    )
    stages.wrote(f"{folder}: {len(truths)} generated documents")


def _facts(seconds: Mapping[str, float], pdfs: Path | None, recipe: Path) -> list[tuple[str, object]]:
    return [
        ("Documents", str(pdfs) if pdfs else "generated by the project"),
        ("Recipe", recipe.name),
        *((f"Time, {name}", duration(spent)) for name, spent in seconds.items()),
        ("Machine", f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"),
    ]


def _stop_ray() -> None:
    import sys

    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
