"""The demo's edges: it deletes only what a demo made, says what it does, and judges its scores as promised."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from cluster.demo import MARKER, clear_own_output, run_demo
from cluster.runs.curves import Series, chart, ticks
from cluster.runs.report import FilledSpan, completions, curves, run_summary, score_table
from cluster.runs.scores import held_out_scores, read_metrics, score_lines
from cluster.stages import Stages, duration
from pipelines.errors import UsageError

GOOD: dict[str, Any] = {
    "split": "eval",
    "step": 100,
    "loss_dlm_text": 4.0,
    "unigram_dlm_text": 5.0,
    "acc_line_visible": 0.60,
    "majority_line_visible": 0.40,
    "acc_line_hidden": 0.45,
    "majority_line_hidden": 0.40,
    "acc_grid_visible": 0.95,
    "majority_grid_visible": 0.20,
    "acc_grid_hidden": None,
    "majority_grid_hidden": None,
}


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no demo made"):
        clear_own_output(tmp_path)
    assert (tmp_path / "corpus" / "thesis.tex").read_text() == "years of work"
    assert not (tmp_path / MARKER).exists()


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.pdf").write_text("kept")
    clear_own_output(out)
    (out / "corpus").mkdir()
    (out / "corpus" / "manifest.json").write_text("{}")
    (out / "report.html").write_text("old")
    (out / "my-notes.txt").write_text("mine")
    (out / "documents").symlink_to(elsewhere)
    clear_own_output(out)
    assert sorted(path.name for path in out.iterdir()) == [MARKER, "my-notes.txt"]
    assert (elsewhere / "kept.pdf").exists(), "a link is removed, what it points to is not"


def test_documents_inside_the_demo_are_not_deleted(tmp_path: Path) -> None:
    clear_own_output(tmp_path)
    pdfs = tmp_path / "documents" / "mine"
    pdfs.mkdir(parents=True)
    (pdfs / "a.pdf").write_text("%PDF-")
    with pytest.raises(UsageError, match="would replace"):
        run_demo(pdfs, tmp_path)
    assert (pdfs / "a.pdf").exists()


def test_bad_places_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        run_demo(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        clear_own_output(tmp_path / "file")


def test_stages_say_their_number_time_and_result() -> None:
    stream = io.StringIO()
    stages = Stages(["corpus", "report"], stream)
    with stages.stage("corpus"):
        stages.wrote("12 pages")
    with pytest.raises(ValueError, match="no disk"), stages.stage("report"):
        raise ValueError("no disk")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/2] corpus ..."
    assert lines[1].startswith("[1/2] corpus")
    assert lines[1].endswith("12 pages")
    assert "failed" in lines[3]
    assert list(stages.seconds) == ["corpus"]
    assert duration(187.4) == "3 min 07 s"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, [True, True, True]),
        ({"loss_dlm_text": 5.0}, [False, True, True]),
        ({"acc_line_visible": 0.549}, [True, False, True]),
        ({"acc_grid_visible": 0.90}, [True, True, False]),
        ({"acc_grid_visible": None}, [True, True, False]),
        ({"unigram_dlm_text": None}, [False, True, True]),
    ],
)
def test_verdicts_follow_the_promises(change: dict[str, Any], kept: list[bool]) -> None:
    scores = held_out_scores([GOOD, {**GOOD, **change}], grid_cells=16, vocabulary=2000)
    assert [score.kept for score in scores if score.promise] == kept
    assert sum(score.kept is None for score in scores) == 2, "hidden boxes are reported without a promise"
    assert math.isnan(scores[-1].value)
    assert score_lines(scores)[-1].split()[-1] == "reported"
    assert score_table(scores).count("Not kept") == kept.count(False)


def test_the_word_alone_is_scored_beside_the_same_baseline() -> None:
    scores = held_out_scores([GOOD, {**GOOD, "loss_dlm_word": 3.5}], grid_cells=16, vocabulary=2000)
    assert (scores[1].value, scores[1].baseline, scores[1].kept) == (3.5, 5.0, None)


def test_metrics_are_split_and_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        read_metrics(tmp_path)
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({"step": 1, "loss": 2.0}) + "\n")
    training, evaluations = read_metrics(tmp_path)
    assert [line["step"] for line in training] == [1]
    assert evaluations == [GOOD]
    path.write_text('{"step": 1}\n{"st')  # the last line is being written
    assert read_metrics(tmp_path)[0] == [{"step": 1}]
    path.write_text('{"step": 1}\n{"st\n')
    with pytest.raises(UsageError, match="line 2"):
        read_metrics(tmp_path)


def test_a_chart_shows_each_series_and_survives_odd_figures() -> None:
    figure = chart("Loss", "note", [Series("<model>", [(0, 8.0), (50, math.nan), (100, 5.0)]), Series("none", [])])
    assert "&lt;model&gt;" in figure
    assert "<model>" not in figure
    assert figure.count("<path") == 1
    assert "nan" not in figure
    assert "5.000" in figure
    assert chart("Loss", "note", [Series("none", [])]) == ""
    assert chart("one point", "note", [Series("a", [(3, 1.0)])])
    many = chart("long", "note", [Series("a", [(i, 1.0) for i in range(10_000)])])
    assert len(many) < 12_000


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 8.3), (0, 700), (3, 3), (-2, 5), (0, 1e-6)])
def test_ticks_cover_the_range_with_few_round_numbers(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= high - 1e-9
    assert 3 <= len(marks) <= 9


def test_run_parts_render_and_escape() -> None:
    training = [{"step": 1, "loss_dlm": 3.0, "samples": 8, "samples_per_second": 4.0, "world_size": 2}]
    assert "Held-out token-to-grid" in curves(training, [GOOD])
    assert "4.0" in run_summary(training, [("Preset", "tiny")])
    assert "<b>" not in completions([FilledSpan("p", "<b>", "<b>", "<b>", "<b>")])
