"""What a person or a collector sees of work in progress: log lines, metrics, the state of a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import main
from cluster.runs.folder import RunFolder
from cluster.runs.watch import Watch
from cluster.settings import PretrainSettings
from cluster.stages import Stages
from cluster.training.ray_meters import RayMeters
from pipelines import meters, progress
from pipelines.corpus.reader import open_parquet
from pipelines.corpus.shards import write_text
from pipelines.folders.folder import Folder
from pipelines.progress import Progress

Run = Callable[..., PretrainSettings]


def test_log_lines_as_objects(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCFORMER_LOG", "json")
    monkeypatch.setenv("DOCFORMER_RUN_ID", "run-7")
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.0)
    with Progress("pages", 10, "page") as bar:
        bar.advance(4, "1 quarantined")
        bar.say("hello")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["run"], line["stage"]) for line in lines] == [("run-7", "pages")] * 3
    assert (lines[0]["done"], lines[0]["total"], lines[0]["unit"], lines[0]["note"]) == (4, 10, "page", "1 quarantined")
    assert lines[1]["text"] == "hello"
    assert all(line["time"] > 0 for line in lines)


def test_stages_as_objects(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCFORMER_LOG", "json")
    stages = Stages(["corpus", "pretrain"])
    with stages.stage("corpus"):
        stages.wrote("3 pages")
    with pytest.raises(ValueError, match="no"), stages.stage("pretrain"):
        raise ValueError("no")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["stage"], line["state"]) for line in lines] == [
        ("corpus", "started"),
        ("corpus", "done"),
        ("pretrain", "started"),
        ("pretrain", "failed"),
    ]
    assert lines[1]["result"] == "3 pages"


def test_plain_log_lines_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("pages", 2, "page") as bar:
        bar.advance(2)
    assert capsys.readouterr().err.startswith("pages: 2/2 pages, ")


@pytest.mark.usefixtures("ray_session")
def test_finished_units_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[float, dict[str, str]]] = []

    class Counter:
        def inc(self, amount: float, labels: dict[str, str]) -> None:
            counted.append((amount, labels))

    monkeypatch.setattr(meters, "_made", lambda meter: Counter())
    monkeypatch.setenv("DOCFORMER_RUN_ID", "run-7")
    with Progress("pages", 10, "page") as bar:
        bar.start_at(3)
        bar.advance(4)
        bar.advance(0)
    assert counted == [(4, {"run": "run-7", "stage": "pages", "unit": "page"})]


def test_names_of_metrics_are_prometheus_names() -> None:
    names = [meter.exported for meter in meters.METERS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("ray_docformer_") and name.replace("_", "").isalnum() for name in names)


def test_state_of_a_corpus_and_of_nothing(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status", str(small_corpus), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["state"]) == ("corpus", "complete")
    assert found["pages"] > 0

    unfinished = tmp_path / "unfinished"
    (unfinished / "pages").mkdir(parents=True)
    (unfinished / "build.json").write_text("{}")
    shard = next((small_corpus / "pages").glob("*.parquet"))
    (unfinished / "pages" / shard.name).write_bytes(shard.read_bytes())
    assert main(["status", str(unfinished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["shards"]) == ("being built", 1)
    assert "--resume" in found["if_stopped"]

    def cleared(folder: Folder, name: str) -> Any:
        monkeypatch.undo()
        (Path(folder.address) / name).unlink()
        return open_parquet(folder, name)

    monkeypatch.setattr("cluster.runs.status.open_parquet", cleared)  # a commit, while status looks
    assert main(["status", str(unfinished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 0

    assert main(["status", str(tmp_path)]) == 2
    assert "neither a corpus nor a run" in capsys.readouterr().err


def test_state_of_a_run(tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cluster.pretraining import pretrain

    pretrain(tiny_run(tmp_path / "run", steps=2))
    capsys.readouterr()
    assert main(["status", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["state"], found["step"], found["steps"]) == ("run", "finished", 2, 2)


def test_a_run_of_any_name_has_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's metrics take ASCII labels alone."""
    put: dict[str, str] = {}

    class Gauge:
        def set(self, value: float, tags: dict[str, str]) -> None:
            put.update(tags)

    monkeypatch.setattr(meters, "_ray_is_up", lambda: True)
    monkeypatch.setattr(meters, "_made", lambda meter: Gauge())
    RayMeters(Path("out/läuf")).log(1, {"train/loss": 2.0})
    assert put["run"] == "l\\xe4uf"


def test_a_resume_shows_no_score_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def lines(*steps: int) -> list[dict[str, Any]]:
        scores = dict.fromkeys(("loss", "loss_dlm_text", "unigram_dlm_text", "acc_line", "acc_grid"), 1.0)
        return [{"split": "eval", "step": step, **scores} for step in steps]

    run = RunFolder(tmp_path)
    write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in lines(0, 40, 80)))
    with Watch(run, 120):
        write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in lines(0, 40, 80, 120)))
    shown = capsys.readouterr().err
    assert [step for step in (0, 40, 80, 120) if f"held out, step {step}:" in shown] == [120]
