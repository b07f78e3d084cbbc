"""Curves of one or more runs side by side, as a self-contained HTML page or as one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.runs.curve_picture import draw
from cluster.runs.curves import COLOURS, Series, chart
from cluster.runs.folder import RunFolder
from cluster.runs.scores import read_metrics
from pipelines.errors import UsageError
from pipelines.report.html import Section, document, text


class Figure(NamedTuple):
    """One chart: what it shows and a curve a run."""

    title: str
    note: str
    series: list[Series]


# Title, note, split, key of metrics.jsonl, key of a baseline.
SHOWN = (
    ("Training loss", "Weighted sum of the objectives, batch by batch.", "train", "loss", None),
    (
        *("Held-out loss of masked words", "Dashed: what word frequency alone gives."),
        *("eval", "loss_dlm_text", "unigram_dlm_text"),
    ),
    ("Held-out token-to-line accuracy", "Visible and hidden boxes together.", "eval", "acc_line", None),
    ("Held-out token-to-grid accuracy", "Visible and hidden boxes together.", "eval", "acc_grid", None),
    ("Gradient norm", "Before clipping.", "train", "grad_norm", None),
    ("Learning rate", "Of each update.", "train", "learning_rate", None),
    ("Samples a second", "Over all workers, the wait for data included.", "train", "samples_per_second", None),
    ("Share of the device's peak", "Model FLOPs of a step over the peak (MFU).", "train", "mfu", None),
)


def figures(runs: Sequence[RunFolder]) -> list[Figure]:
    """The charts for which at least one of `runs` has figures."""
    read = [read_metrics(run.path) if run.metrics.is_file() else ([], []) for run in runs]
    names = short_names(runs)
    found = []
    for title, note, split, key, baseline in SHOWN:
        series = []
        for number, (run, (training, evaluations)) in enumerate(zip(names, read, strict=True)):
            lines = training if split == "train" else evaluations
            for name, at, faint in ((run, key, False), (f"{run}, unigram", baseline, True)):
                points = [(float(line["step"]), float(line[at])) for line in lines if at and line.get(at) is not None]
                if points:
                    series.append(Series(name, points, number % COLOURS + 1, faint, split == "eval" and not faint))
        if series:
            found.append(Figure(title, note, series))
    return found


def short_names(runs: Sequence[RunFolder]) -> list[str]:
    """Each run's folder name, with as many folders before it as tell the runs apart."""
    for parts in range(1, 20):
        names = ["/".join(run.path.parts[-parts:]) for run in runs]
        if len(set(names)) == len(runs):
            break
    return names


def write_curves(runs: Sequence[RunFolder], out: Path) -> None:
    """Write the curves of `runs` to `out`, a .html or .png file.

    Raises:
        UsageError: another kind of file, or no run has a figure yet.
    """
    if out.suffix not in (".html", ".png"):
        raise UsageError(f"{out}: write curves to a .html or a .png file")
    shown = figures(runs)
    if not shown:
        raise UsageError("no run has logged a step yet: there is nothing to draw")
    if out.suffix == ".png":
        draw([(figure.title, figure.series) for figure in shown], out)
        return
    charts = "".join(chart(*figure) for figure in shown)
    names = text(", ".join(short_names(runs)))
    out.write_text(document("Runs", names, [Section("curves", "Curves", f'<div class="pair">{charts}</div>')]))
