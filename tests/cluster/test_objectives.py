"""Runs that train some objectives only, and runs that hold nothing out: they end, and are scored on what there is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.pretraining import pretrain
from cluster.runs.scores import NO_SCORES, score_lines
from cluster.settings import PretrainSettings
from cluster.workflow.evaluate import evaluate
from tests.cluster.conftest import OBJECTIVES, TINY
from tests.cluster.gang import train_together

Run = Callable[..., PretrainSettings]
TASKS = ("dlm", "line", "grid")
OFF = [
    ("denoising",),
    ("token_to_line",),
    ("token_to_grid",),
    ("token_to_line", "token_to_grid"),
    ("denoising", "token_to_grid"),
    ("denoising", "token_to_line"),
]


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_any_objective_may_be_off(tiny_run: Run, tmp_path: Path) -> None:
    changes = [{"objectives": {**OBJECTIVES, **dict.fromkeys(off, False)}} for off in OFF]
    changes.append({"model": {**TINY, "loss_weight_grid": 0.0}})
    runs = [
        tiny_run(tmp_path / str(number), zero=number % 4, steps=2, **change) for number, change in enumerate(changes)
    ]
    train_together(runs, tmp_path)
    for run in runs:
        for line in metrics(Path(run.out)):
            assert line["loss"] > 0
            assert tuple(task for task in TASKS if line[f"loss_{task}"]) == run.objectives.tasks
    for name, spans, trained in (
        ("0", 0, {"Token-to-line", "Token-to-grid"}),
        (str(len(OFF)), 3, {"Denoising", "Token-to-line"}),
    ):
        evaluated = evaluate(tmp_path / name, tmp_path / "evaluated")
        assert {score.name.split()[0] for score in evaluated.scores} == trained, "nothing is promised of what was off"
        assert len(evaluated.spans) == spans


def test_a_run_without_held_out_pages_ends_and_its_report_says_so(tiny_run: Run, tmp_path: Path) -> None:
    assert pretrain(tiny_run(tmp_path / "run", held_out=0.0, steps=2)).steps == 2
    assert {line["split"] for line in metrics(tmp_path / "run")} == {"train"}
    evaluated = evaluate(tmp_path / "run", tmp_path / "evaluated")
    assert evaluated.scores == []
    assert NO_SCORES in evaluated.report.read_text()
    assert score_lines(evaluated.scores) == [NO_SCORES]
