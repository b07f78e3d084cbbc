"""A run as one HTML file: scores beside their baselines, curves, masked text filled in, and the run's corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.runs.curves import Series, chart
from cluster.runs.scores import NO_SCORES, Score, number
from pipelines.report.corpus_report import corpus_sections, save
from pipelines.report.html import Section, document, facts, table, text, tiles

if TYPE_CHECKING:
    from pipelines.corpus.reader import Corpus


@dataclass(frozen=True)
class FilledSpan:
    """One masked span of a held-out page: the text around it, what stood there, what the model wrote."""

    page: str
    before: str
    gold: str
    predicted: str
    after: str


def write_run_report(
    corpus: "Corpus",
    out: Path,
    *,
    training: Sequence[Mapping[str, Any]],
    evaluations: Sequence[Mapping[str, Any]],
    scores: Sequence[Score],
    spans: Sequence[FilledSpan],
    run_facts: Sequence[tuple[str, object]],
    pages: int = 24,
) -> Path:
    """Write the report of a run on `corpus` to the file `out` and return its path.

    Args:
        corpus: the corpus that the run learned from.
        out: the HTML file, self-contained and below 10 MB.
        training: logged training lines of metrics.jsonl.
        evaluations: its held-out lines.
        scores: held-out scores with their verdicts.
        spans: masked spans that the model filled in.
        run_facts: (name, value) of the run's size, speed and settings.
        pages: number of page pictures.
    """
    promised = [score for score in scores if score.kept is not None]
    kept = sum(bool(score.kept) for score in promised)
    subtitle = f"{kept} of {len(promised)} promises kept on held-out pages." if scores else f"{NO_SCORES}."
    sections = [
        Section("scores", "Held-out scores", score_table(scores)),
        Section("curves", "Curves", curves(training, evaluations)),
        Section("completions", "Masked text, filled in", completions(spans)),
        Section("run", "Run", run_summary(training, run_facts)),
        *corpus_sections(corpus, pages),
    ]
    return save(document("Pretraining report", subtitle, sections), out)


def score_table(scores: Sequence[Score]) -> str:
    """Return the scores as a table with a verdict for each promise; without any, a line that says why."""
    if not scores:
        return f"<p>{NO_SCORES}.</p>"
    rows = []
    for score in scores:
        mark = '<span class="note">reported</span>'
        if score.kept is not None:
            kind, word = ("kept", "Kept") if score.kept else ("broken", "Not kept")
            mark = f'<span class="verdict {kind}">{word}</span> {text(score.promise)}'
        figures = (number(v) for v in (score.start, score.value, score.baseline, score.chance))
        rows.append((text(score.name), *figures, mark))
    head = ("Measured", "Before training", "After", "Baseline", "Chance", "Promise")
    return (
        table(head, rows, numeric=(1, 2, 3, 4))
        + '<p class="note">Baseline: for the loss a unigram model of the training targets, sentinels excluded; for an '
        "accuracy the share of the most frequent class among the same tokens. A visible box nearly gives the answer "
        "away; a token whose box is hidden has to be placed from the words and the picture around it.</p>"
    )


def curves(training: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Return the run's charts: training losses, held-out loss beside the unigram, accuracies beside the majority."""

    def points(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
        return [(float(line["step"]), float(line[key])) for line in lines if line.get(key) is not None]

    charts = [
        chart(
            "Training losses",
            "Each objective's mean over its targets, batch by batch.",
            [
                Series("denoising", points(training, "loss_dlm"), 1),
                Series("token-to-line", points(training, "loss_line"), 2),
                Series("token-to-grid", points(training, "loss_grid"), 3),
            ],
        ),
        chart(
            "Held-out denoising loss",
            "Masked words only; lower than the dashed line means more than word frequency was learned. That line is "
            "told that a word follows and not the end of the span; so is the model in the second curve.",
            [
                Series("model", points(evaluations, "loss_dlm_text"), 1, dots=True),
                Series("told that a word follows", points(evaluations, "loss_dlm_word"), 2, dots=True),
                Series("unigram", points(evaluations, "unigram_dlm_text"), 5, baseline=True),
            ],
        ),
    ]
    for task, title in (("line", "Held-out token-to-line accuracy"), ("grid", "Held-out token-to-grid accuracy")):
        charts.append(
            chart(
                title,
                "Solid: the model. Dashed: always the most frequent class.",
                [
                    Series("box visible", points(evaluations, f"acc_{task}_visible"), 1, dots=True),
                    Series("box hidden", points(evaluations, f"acc_{task}_hidden"), 2, dots=True),
                    Series("majority, visible", points(evaluations, f"majority_{task}_visible"), 1, baseline=True),
                    Series("majority, hidden", points(evaluations, f"majority_{task}_hidden"), 2, baseline=True),
                ],
                y_range=(0, 1),
            )
        )
    return f'<div class="pair">{"".join(charts)}</div>'


def completions(spans: Sequence[FilledSpan]) -> str:
    """Return each masked span in its context, with what stood there and what the model wrote."""
    if not spans:
        return "<p>No held-out page had a masked span.</p>"
    return "".join(
        f'<div class="fill"><p class="context" dir="auto">… {text(span.before)} <mark>[masked]</mark> '
        f"{text(span.after)} …</p>"
        f'<dl><dt>Stood there</dt><dd dir="auto">{text(span.gold)}</dd>'
        f'<dt>Model wrote</dt><dd dir="auto">{text(span.predicted) or "nothing"}</dd>'
        f"<dt>Page</dt><dd>{text(span.page)}</dd></dl></div>"
        for span in spans
    )


def run_summary(training: Sequence[Mapping[str, Any]], run_facts: Sequence[tuple[str, object]]) -> str:
    """Return the run's size and speed as tiles, and its settings."""
    if not training:
        return facts(run_facts)
    last = training[-1]
    # The first steps start workers and fill caches: the middle of the sorted speeds is the run's own.
    speeds = sorted(float(line["samples_per_second"]) for line in training if line.get("samples_per_second"))
    waits = [float(line["data_wait"]) / float(line["step_seconds"]) for line in training if line.get("step_seconds")]
    shown = tiles(
        [
            ("Steps", int(last["step"]), ""),
            ("Samples", int(last.get("samples", 0)), f"{float(last.get('epoch', 0)):.1f} epochs"),
            ("Samples a second", f"{speeds[len(speeds) // 2]:.1f}" if speeds else "-", "median step"),
            ("Workers", int(last.get("world_size", 1)), ""),
            ("Waiting for data", f"{100 * sum(waits) / len(waits):.1f} %" if waits else "-", "of a step"),
        ]
    )
    return shown + facts(run_facts)
