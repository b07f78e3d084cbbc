"""A run's held-out scores beside their baselines, and a verdict on each thing that pretraining promised to learn."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.runs.json_lines import JsonLines
from pipelines.errors import UsageError

LINE_MARGIN = 0.15  # token-to-line must beat the majority class by this much
GRID_FLOOR = 0.90  # token-to-grid must be right this often
NO_SCORES = "No page is held out, so nothing was scored"


@dataclass(frozen=True)
class Score:
    """One held-out figure.

    Attributes:
        name: what was measured, on which tokens.
        value: the model's figure at the end of the run; NaN where there was no target.
        start: the same figure before the first step.
        baseline: what a model without sight would reach: the unigram's loss or the majority class's share.
        chance: accuracy of a uniform guess, or the loss of one; NaN where it says nothing.
        promise: what was promised of the figure, or "" where it is only reported.
        kept: whether the promise was kept; None without one.
    """

    name: str
    value: float
    start: float
    baseline: float
    chance: float
    promise: str = ""
    kept: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON."""
        return dict(vars(self))


def read_metrics(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the logged training lines and the held-out lines of a run folder, each in order of steps.

    Raises:
        UsageError: the folder has no metrics.jsonl or a line of it is no JSON object.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise UsageError(f"{path} is missing; give the folder of a `docformer pretrain` run")
    lines = JsonLines(path).all(strict=True)
    held_out = [line for line in lines if line.get("split") == "eval"]
    return [line for line in lines if line.get("split") != "eval"], held_out


def held_out_scores(
    evaluations: Sequence[Mapping[str, Any]],
    grid_cells: int,
    vocabulary: int,
    tasks: Collection[str] = ("dlm", "line", "grid"),
) -> list[Score]:
    """Return the scores of the last held-out line of `evaluations`, beside the first one's.

    Args:
        evaluations: the run's held-out lines (keys as in metrics.jsonl), at least one.
        grid_cells: classes of token-to-grid.
        vocabulary: entries of the tokenizer, for the loss of a uniform guess.
        tasks: that were trained; of the others there is no score.
    """
    first, last = evaluations[0], evaluations[-1]

    def figure(line: Mapping[str, Any], key: str) -> float:
        value = line.get(key)
        return math.nan if value is None else float(value)

    dlm, unigram = figure(last, "loss_dlm_text"), figure(last, "unigram_dlm_text")
    scores = []
    if "dlm" in tasks:
        scores.append(
            Score(
                "Denoising loss, masked words (nats a token)",
                dlm,
                figure(first, "loss_dlm_text"),
                unigram,
                math.log(vocabulary),
                "below the unigram model of the targets",
                dlm < unigram,
            )
        )
    # The unigram model is told that a word follows and not the end of the span; so is the model here.
    if "dlm" in tasks and "loss_dlm_word" in last:
        word, before = figure(last, "loss_dlm_word"), figure(first, "loss_dlm_word")
        scores.append(Score("Denoising loss, which word, told that one follows", word, before, unigram, math.nan))
    for task, title, chance in (("line", "Token-to-line", 1 / 3), ("grid", "Token-to-grid", 1 / grid_cells)):
        if task not in tasks:
            continue
        for part, tokens in (("visible", "box visible"), ("hidden", "box hidden")):
            value, majority = figure(last, f"acc_{task}_{part}"), figure(last, f"majority_{task}_{part}")
            promise, kept = "", None
            if part == "visible" and task == "line":
                promise, kept = f"{100 * LINE_MARGIN:.0f} points above the majority", value >= majority + LINE_MARGIN
            elif part == "visible":
                promise, kept = f"above {GRID_FLOOR:.2f}", value > GRID_FLOOR
            start = figure(first, f"acc_{task}_{part}")
            scores.append(Score(f"{title} accuracy, {tokens}", value, start, majority, chance, promise, kept))
    return scores


def score_lines(scores: Sequence[Score]) -> list[str]:
    """Return the scores as aligned lines of text, a heading first; without any, a line that says why."""
    if not scores:
        return [NO_SCORES]
    head = ("held-out pages", "start", "end", "baseline", "chance", "promise")
    rows = [
        (s.name, number(s.start), number(s.value), number(s.baseline), number(s.chance), verdict(s)) for s in scores
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i in (0, 5) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def verdict(score: Score) -> str:
    """Return "kept" or "NOT KEPT" with the promise, or "reported" where nothing was promised."""
    if score.kept is None:
        return "reported"
    return f"{'kept' if score.kept else 'NOT KEPT'}: {score.promise}"


def number(value: float) -> str:
    """Return a figure with three decimals, or a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"
