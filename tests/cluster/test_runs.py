"""`docformer runs`: what it says of a run in each state, and the curves it draws."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from cluster.cli import main
from cluster.runs.folder import LOCK_WAIT_S, RunFolder
from cluster.runs.listing import find_runs, look_at, table
from cluster.settings import PretrainSettings
from pipelines.errors import UsageError


def make(path: Path, steps: int = 40, events: tuple[dict[str, Any], ...] = ()) -> RunFolder:
    """A run's folder as a run of `steps` logged steps of 100 leaves it."""
    run = RunFolder(path)
    path.mkdir(parents=True)
    settings = PretrainSettings(corpus="corpus", tokenizer="tokenizer", out=str(path), steps=100)
    run.config.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    run.facts.write_text("{}")
    run.note("launch", "1 workers")
    run.note("start", "random weights", step=0)
    for event in events:
        run.note(**event)
    lines = [
        {
            **{"split": "train", "step": step, "loss": 9 - step / 20, "grad_norm": 2.0, "learning_rate": 1e-3},
            **{"samples_per_second": 30.0 + step % 3, "step_seconds": 0.5, "data_wait": 0.01, "mfu": None},
            **{"world_size": 2, "troubles": 1, "peak_memory_bytes": 2_000_000_000},
        }
        for step in range(1, steps + 1)
    ]
    scores = [
        {"split": "eval", "step": step, "loss": 8.0, "loss_dlm_text": 6.5 - step / 50, "unigram_dlm_text": 6.0}
        for step in (0, steps)
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in (*lines, *scores)))
    return run


END: dict[str, Any] = {"kind": "end", "text": "complete", "signal": None}


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "starting"),
        ((END,), "finished"),
        (({**END, "signal": "SIGTERM"},), "stopped"),
        (({"kind": "error", "text": "the disk is full"},), "failed"),
        (({"kind": "hang", "text": "rank 1 hangs"},), "failed"),
        ((END, {"kind": "launch", "text": "again"}), "starting"),
    ],
)
def test_the_state_of_a_run(tmp_path: Path, events: tuple[dict[str, Any], ...], state: str) -> None:
    assert look_at(make(tmp_path / "run", events=events)).state == state


def test_a_run_whose_lock_is_held_runs_and_one_that_went_silent_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path / "run")
    with run.lock(LOCK_WAIT_S):
        view = look_at(run)
    assert view.state == "running"
    assert view.seconds_left == pytest.approx(60 * 0.5)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert look_at(run).state == "killed"


def test_the_figures_of_a_run(tmp_path: Path) -> None:
    run = make(tmp_path / "run", events=({"kind": "error", "text": "the disk is full"},))
    with run.metrics.open("a") as file:
        file.write('{"split": "train", "step": 41, "lo')  # being written
    view = look_at(run)
    assert (view.step, view.steps, view.loss, view.held_out_text, view.unigram) == (40, 100, 7.0, 5.7, 6.0)
    assert view.data_wait == pytest.approx(0.02)
    assert (view.workers, view.troubles, view.restarts, view.peak_memory_gb) == (2, 1, 0, 2.0)
    text = table([view])
    assert "40/100" in text
    assert "2.0 %" in text
    assert text.endswith(f"{tmp_path / 'run'}: the disk is full")


def test_runs_are_found_in_a_folder_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "a", events=(END,))
    make(tmp_path / "sweep" / "b", events=(END,))
    assert [run.path.name for run in find_runs([tmp_path, tmp_path / "a"])] == ["a", "b"]
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert [run["state"] for run in json.loads(capsys.readouterr().out)] == ["finished", "finished"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no run"):
        find_runs([tmp_path / "empty"])


def test_follow_ends_when_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "a", events=(END,))
    assert main(["runs", str(tmp_path / "a"), "--follow"]) == 0
    assert "finished" in capsys.readouterr().out


def test_curves_of_two_runs(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make(tmp_path / name / "run", events=(END,))
    assert main(["runs", str(tmp_path), "--plot", str(tmp_path / "curves.png")]) == 0
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1000
        # Blue and orange curves, on white.
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or ()}
    for wanted in ((37, 99, 201), (194, 65, 12)):
        assert any(all(abs(a - b) < 12 for a, b in zip(colour, wanted, strict=True)) for colour in colours)
    assert main(["runs", str(tmp_path), "--plot", str(tmp_path / "curves.html")]) == 0
    page = (tmp_path / "curves.html").read_text()
    assert "0.00100</b>" in page, "of a learning rate too"
    assert "Training loss" in page
    assert "first/run" in page
    assert "Share of the device" not in page, "no figure, no chart"
    assert main(["runs", str(tmp_path), "--plot", str(tmp_path / "curves.gif")]) == 2
