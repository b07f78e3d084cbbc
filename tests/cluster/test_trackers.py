"""Where figures go besides metrics.jsonl, and the profiler's window."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.pretraining import pretrain
from cluster.settings import PretrainSettings
from cluster.training.trackers import Trackers
from pipelines.errors import UsageError

Run = Callable[..., PretrainSettings]
NONE = {"wandb_project": None, "mlflow_experiment": None, "steps": 8}
LINE = {"split": "train", "step": 3, "loss": 2.5, "mfu": None, "batch_digest": "ab", "grad_norm": float("nan")}


def curves(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: {e.step: e.value for e in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_tensorboard_shows_a_resumed_run_once(tmp_path: Path) -> None:
    first = Trackers(tmp_path, 0, NONE)
    for step in (1, 2, 3):
        first.log({**LINE, "step": step, "loss": 1.0})
    first.close()
    again = Trackers(tmp_path, 2, NONE)
    again.log(LINE)
    again.close()
    assert curves(tmp_path / "tensorboard") == {"train/loss": {1: 1.0, 2: 1.0, 3: 2.5}}


class Recorder(types.ModuleType):
    """Stands for a tracker's package: notes every call."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, Any, Any]] = []
        self.info = types.SimpleNamespace(run_id="r1")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> "Recorder":
            self.calls.append((name, args, named))
            return self

        return call


def test_weights_and_biases_and_mlflow_get_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb, mlflow = Recorder("wandb"), Recorder("mlflow")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    asked = {**NONE, "wandb_project": "pages", "mlflow_experiment": "pages"}
    first, second = tmp_path / "a" / "run", tmp_path / "b" / "run"
    for run in (first, first, second):
        run.mkdir(parents=True, exist_ok=True)
        trackers = Trackers(run, 0, asked)
        trackers.log(LINE)
        trackers.close()
    assert [call[0] for call in wandb.calls] == ["init", "log", "finish"] * 3
    begun = [named for name, _, named in wandb.calls if name == "init"]
    assert begun[0]["id"] == begun[1]["id"] != begun[2]["id"], "a folder's name may be another run's too"
    assert [named["name"] for named in begun] == ["a/run", "a/run", "b/run"]
    assert wandb.calls[1] == ("log", ({"train/loss": 2.5},), {"step": 3})
    runs = [named for name, _, named in mlflow.calls if name == "start_run"]
    assert [run["run_id"] for run in runs] == [None, "r1", None], "a resume goes on with the same run"
    assert ("log_metrics", ({"train/loss": 2.5},), {"step": 3}) in mlflow.calls


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="pip install wandb"):
        Trackers(tmp_path, 0, {**NONE, "wandb_project": "pages"})


def test_a_run_has_curves_a_trace_and_its_memory(tiny_run: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(tiny_run(run, profile_steps="3:4", steps=5, checkpoint_every=2, keep_checkpoints=1, keep_every=4))
    assert set(curves(run / "tensorboard")["train/loss"]) == {1, 2, 3, 4, 5}
    assert "eval/loss_dlm_text" in curves(run / "tensorboard")
    (trace,) = (run / "profile").iterdir()
    assert trace.name == "steps-3-4-rank-0.json"
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert "aten::addmm" in names or "aten::linear" in names
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[2])
    assert 1e8 < line["peak_memory_bytes"] < 1e11
    assert sorted(path.name[-1] for path in (run / "checkpoints").iterdir()) == ["4", "5"]
    saved = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if '"checkpoint"' in line]
    assert [event["step"] for event in saved] == [2, 4, 5]
    assert all(0 <= event["stalled"] <= event["seconds"] for event in saved)
