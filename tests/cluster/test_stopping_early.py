"""A signal while a run is still starting ends it soon: no worker has anything to save."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cluster.cli import main
from cluster.pretraining import pretrain
from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings
from cluster.stopping import PATIENCE_BEFORE_START_S, patience_s
from pipelines.errors import JobError

Run = Callable[..., PretrainSettings]


def interrupted(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let a run's workers never start, and SIGINT come while they are waited for."""
    never = threading.Event()

    def fit(_: PretrainSettings) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        never.wait(60)

    monkeypatch.setattr("cluster.workers.plain.fit", fit)
    return never


def test_a_start_is_not_waited_for(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never, began = interrupted(monkeypatch), time.monotonic()
    with pytest.raises(JobError, match=r"stopped by SIGINT before the first checkpoint; begin again with: .*--resume"):
        pretrain(tiny_run(tmp_path / "run"))
    assert time.monotonic() - began < 20  # of the 30 that workers which have started are given
    never.set()


def test_of_a_resume_the_newest_checkpoint_counts(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(tiny_run(tmp_path / "run", steps=1))
    never = interrupted(monkeypatch)
    summary = pretrain(tiny_run(tmp_path / "run", steps=5), resume=True)
    assert (summary.signal, summary.steps) == ("SIGINT", 1)
    never.set()


def test_workers_that_have_started_have_their_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.note("launch", "2 workers")
    assert patience_s(run, 30.0) == PATIENCE_BEFORE_START_S
    run.note("start", "random weights")
    assert patience_s(run, 30.0) == 30.0
    run.note("again", "a worker was lost")
    assert patience_s(run, 30.0) == PATIENCE_BEFORE_START_S


def test_a_signal_before_the_start_says_what_to_do(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(arguments: list[str]) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.setattr("cluster.pretraining.find_index", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            return main(arguments), capsys.readouterr().err

    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"pretrain": tiny_run(tmp_path / "run", steps=1).model_dump(mode="json")}))
    begin = ["pretrain", "--config", str(config)]
    code, said = stopped(begin)
    assert (code, "stopped by SIGTERM before the first checkpoint; nothing was written" in said) == (1, True)
    assert main(begin) == 0
    code, said = stopped([*begin, "--resume"])
    assert (code, f"go on with: docformer pretrain --out {tmp_path / 'run'} --resume" in said) == (143, True)
