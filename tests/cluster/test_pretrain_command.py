"""`docformer pretrain` as its user sees it: killed, stopped, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import main
from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings

Run = Callable[..., PretrainSettings]
VOLATILE = (
    *("time", "restarts", "step_seconds", "data_wait", "tokens_per_second", "samples_per_second"),
    "peak_memory_bytes",
)
WAIT_S = 240


def write_config(path: Path, settings: PretrainSettings) -> Path:
    path.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cluster.cli", "pretrain", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == code, err
    return out, err


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        lines = metrics(run) if (run / "metrics.jsonl").exists() else []
        if any(line["step"] >= step for line in lines):
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError(f"step {step} was not reached")


def metrics(run: Path) -> list[dict[str, Any]]:
    whole = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in whole if line.endswith("\n")]


def lasting(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in VOLATILE} for line in metrics(run)]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["pretrain", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_killed_and_stopped_runs_end_as_an_undisturbed_one(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed and stopped in processes of their own; undisturbed, and ended, in this one."""
    settings = tiny_run(tmp_path / "calm", steps=60, eval_every=30, checkpoint_every=10)
    config = write_config(tmp_path / "run.yaml", settings)
    killed = start("--config", config, "--out", tmp_path / "killed")
    wait_for_step(tmp_path / "killed", 17, killed)
    killed.send_signal(signal.SIGKILL)
    finish(killed, -signal.SIGKILL)

    # The run's own settings are taken where none are given.
    again = start("--out", tmp_path / "killed", "--resume")
    wait_for_step(tmp_path / "killed", 31, again)
    again.send_signal(signal.SIGTERM)
    out, err = finish(again, 143)
    assert "signal" in out
    assert "SIGTERM" in out
    assert f"docformer pretrain --out {tmp_path / 'killed'} --resume" in err
    stopped_at = int((tmp_path / "killed" / "latest").read_text().removeprefix("step-"))
    assert stopped_at == metrics(tmp_path / "killed")[-1]["step"] < 60

    assert main(["pretrain", "--config", str(config)]) == 0
    capsys.readouterr()
    assert main(["pretrain", "--out", str(tmp_path / "killed"), "--resume", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["steps"], summary["samples"], summary["signal"], summary["restarts"]) == (60, 360, None, 2)
    assert lasting(tmp_path / "killed") == lasting(tmp_path / "calm")
    assert not list((tmp_path / "killed" / "checkpoints").glob("*.partial"))
    assert (tmp_path / "killed" / "model" / "model.safetensors").is_file()


def test_what_a_resume_refuses(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_corpus: Path
) -> None:
    from cluster.pretraining import pretrain

    run = tmp_path / "run"
    config = write_config(tmp_path / "run.yaml", tiny_run(run, steps=2))
    pretrain(tiny_run(run, steps=2))
    capsys.readouterr()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "add --resume" in refusal(capsys, "--config", config)
    assert "global_batch_pages was 6 and is 7" in refusal(
        capsys, "--config", config, "--resume", "--global-batch-pages", 7
    )
    assert "preset was 'tiny' and is 'small'" in refusal(capsys, "--config", config, "--resume", "--preset", "small")
    behind = refusal(capsys, "--config", config, "--resume", "--steps", 1)
    assert f"{run}: is at step 2 already, beyond steps = 1; give --steps more than 2" in behind
    other = tmp_path / "other"
    other.mkdir()
    manifest = json.loads((small_corpus / "manifest.json").read_text())
    manifest["corpus_digest"] = "0" * 64
    (other / "manifest.json").write_text(json.dumps(manifest))
    (other / "pages").symlink_to(small_corpus / "pages")
    assert "corpora.1.digest was" in refusal(capsys, "--config", config, "--resume", "--corpus", other)
    assert "tokenizer" in refusal(
        capsys, "--config", config, "--tokenizer", tmp_path / "none", "--out", tmp_path / "new"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    for resume in ([], ["--resume"]):
        assert str(tmp_path / "mine") in refusal(capsys, "--config", config, "--out", tmp_path / "mine", *resume)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_resume_of_a_complete_run_says_that_nothing_is_left(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cluster.pretraining import pretrain

    pretrain(tiny_run(tmp_path / "run", steps=1))
    assert "already" not in capsys.readouterr().err
    assert pretrain(tiny_run(tmp_path / "run", steps=1), resume=True).steps == 1
    err = capsys.readouterr().err
    assert "at step 1 already, nothing left to train" in err
    assert "learning rate" not in err


def test_a_resume_with_more_steps_says_what_becomes_of_the_learning_rate(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cluster.pretraining import pretrain

    pretrain(tiny_run(tmp_path / "run", steps=3))
    pretrain(tiny_run(tmp_path / "run", steps=4), resume=True)
    told = "the rate goes from 0.0003 at step 3 to 0.0003 at step 4"
    assert "steps was 3 and is 4" in capsys.readouterr().err
    (hint,) = [line for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines() if "steps was" in line]
    assert told in hint


@pytest.mark.usefixtures("ray_session")
def test_ray_train_gives_the_losses_of_one_plain_process(tiny_run: Run, tmp_path: Path) -> None:
    from cluster.pretraining import pretrain

    pretrain(tiny_run(tmp_path / "plain"))
    summary = pretrain(tiny_run(tmp_path / "ray", ray=True, workers=2, zero=2))
    assert summary.steps == 8
    for a, b in zip(metrics(tmp_path / "plain"), metrics(tmp_path / "ray"), strict=True):
        assert (a["split"], a["step"], a.get("batch_digest")) == (b["split"], b["step"], b.get("batch_digest"))
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
    assert {line["world_size"] for line in metrics(tmp_path / "ray")} == {2}


@pytest.mark.slow
def test_ray_train_killed_and_resumed_ends_as_an_undisturbed_run(tiny_run: Run, tmp_path: Path) -> None:
    settings = tiny_run(tmp_path / "calm", steps=60, eval_every=30, checkpoint_every=10, ray=True, workers=2, zero=2)
    config = write_config(tmp_path / "run.yaml", settings)
    finish(start("--config", config), 0)
    killed = start("--config", config, "--out", tmp_path / "killed")
    wait_for_step(tmp_path / "killed", 17, killed)
    killed.send_signal(signal.SIGKILL)
    finish(killed, -signal.SIGKILL)
    finish(start("--out", tmp_path / "killed", "--resume"), 0)
    assert lasting(tmp_path / "killed") == lasting(tmp_path / "calm")

    stopped = start("--config", config, "--out", tmp_path / "stopped")
    wait_for_step(tmp_path / "stopped", 5, stopped)
    stopped.send_signal(signal.SIGINT)
    finish(stopped, 130)
    finish(start("--out", tmp_path / "stopped", "--resume", "--workers", 1, "--zero", 1), 0)
    for a, b in zip(metrics(tmp_path / "calm"), metrics(tmp_path / "stopped"), strict=True):
        assert a.get("batch_digest") == b.get("batch_digest")
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["config.yaml", "facts.json"])
def test_a_start_that_was_killed_before_anything_was_on_record_is_begun_again(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, resume: bool
) -> None:
    from cluster.pretraining import pretrain
    from pipelines.corpus.shards import write_text

    def killed(path: Path, text: str) -> None:
        if path.name == name:
            path.with_name(f"{name}.1.tmp").write_text(text[:9])
            raise KeyboardInterrupt
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr("cluster.runs.resume.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tiny_run(tmp_path / "run"))
    assert pretrain(tiny_run(tmp_path / "run", steps=1), resume=resume).steps == 1
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_what_a_killed_worker_had_begun_to_write_is_gone_at_the_end(tiny_run: Run, tmp_path: Path) -> None:
    from cluster.pretraining import pretrain
    from cluster.workers import plain

    def names() -> set[str]:
        return {path.name for path in [*run.iterdir(), *(run / "checkpoints").iterdir()]}

    run = tmp_path / "run"
    pretrain(tiny_run(run, steps=1))
    usual = names()
    (run / "latest.77.tmp").write_text("step")
    for half in (run / ".model.x1", run / "checkpoints" / "step-00000007.partial", RunFolder(run).scratch):
        half.mkdir()
        (half / "half").write_text("of it")
    plain.fit(tiny_run(run, steps=1))  # as Ray Train starts again after a loss, which needs its scratch
    assert names() == usual | {RunFolder(run).scratch.name}
    pretrain(tiny_run(run, steps=1), resume=True)
    assert names() == usual
