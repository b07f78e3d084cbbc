"""What `docformer submit` finds out before it reaches any cluster, and what it would send."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.cli import main
from cluster.jobs import client, project
from cluster.jobs.client import Job, Jobs, normal_address, on_this_machine, travels_open
from cluster.jobs.entry import differences
from cluster.jobs.project import stage
from cluster.jobs.settings import SubmitSettings
from cluster.jobs.submit import runtime_env
from cluster.options import load_settings
from pipelines.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """One line of a submission that nothing listens to: mistakes come before the network."""
    try:
        code = main(["submit", "--address", "http://127.0.0.1:1", *map(str, words)])
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    assert code == 2
    (line,) = printed.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no command"),
        (("--", "pretrain", "--stesp", "3"), "did you mean --steps?"),
        (("--", "launch", "kuberay", "--config", "x"), "runs here"),
        (("stop",), "takes one job"),
        (("list", "everything"), "takes no job"),
        (("--", "corpus", "verify", "corpus"), "nothing answers"),
    ],
)
def test_mistakes_are_found_at_home(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    assert says in refused(capsys, *words)


def test_a_configuration_needs_a_command_that_takes_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("pretrain: {}\n")
    line = refused(capsys, "--config", tmp_path / "run.yaml", "--", "corpus", "verify", "corpus")
    assert "takes no --config" in line


def test_the_project_travels_without_data_and_addresses(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("pretrain: {workers: 1:4}\nsubmit: {address: http://secret.example}\n")
    folder = stage(tmp_path / "project", config)
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {"cluster/cli.py", "model/docformer.py", "pipelines/building/build.py", "cluster/recipes/tiny.yaml"} <= names
    assert {name.split("/")[0] for name in names} == {"cluster", "model", "pipelines", "run.yaml", "pins.txt"}
    assert not [name for name in names if "__pycache__" in name]
    assert (folder / "run.yaml").read_text() == "pretrain:\n  workers: '1:4'\n"
    pins = (folder / "pins.txt").read_text().splitlines()
    assert set(pins) <= set((ROOT / "requirements.txt").read_text().splitlines())
    assert any(pin.startswith("torch==") for pin in pins)


def test_sources_that_are_too_large_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "LIMIT_MB", 0.1)
    with pytest.raises(UsageError, match=r"at most 0\.1 MB are sent \(largest: /"):
        stage(tmp_path / "project", None)


def test_versions_that_differ_are_said() -> None:
    assert differences(["pyyaml==0.0.1", "nothing-like-it==3 ; sys_platform == 'win32'"])[0].startswith("pyyaml ")
    assert differences(["no-such-package==1.0"]) == ["no-such-package absent (pinned 1.0)"]
    assert not differences(["nothing-like-it==3 ; sys_platform == 'win32'"])


def test_the_environment_of_a_job(tmp_path: Path) -> None:
    plain = runtime_env(tmp_path, "job-1", SubmitSettings(stop_wait_s=7, env={"A": "b"}))
    assert plain["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "7"
    assert (plain["env_vars"]["A"], plain["env_vars"]["DOCFORMER_RUN_ID"]) == ("b", "job-1")
    assert "pip" not in plain
    packages = runtime_env(tmp_path, "job-1", SubmitSettings(install=True))["pip"]["packages"]
    assert any(line.startswith("torch==") for line in packages)
    assert not [line for line in packages if line.startswith("ray==")]


def test_a_secret_among_the_variables_is_refused_and_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("submit:\n  env: {WANDB_API_KEY: 0123456789abcdef}\n")
    with pytest.raises(UsageError, match="WANDB_API_KEY looks like a secret") as error:
        load_settings(SubmitSettings, "submit", config, {})
    assert "0123456789abcdef" not in str(error.value)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert normal_address(None) == "http://127.0.0.1:8265"
    assert normal_address("head:8265/") == "http://head:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "https://ray.example")
    assert normal_address(None) == "https://ray.example"
    assert on_this_machine("http://localhost:1")
    assert not on_this_machine("https://ray.example")
    assert travels_open("http://ray.example")
    assert not travels_open("https://ray.example")
    assert not travels_open("http://127.0.0.1:8265")
    for wrong in ("ray://head:10001", "http://", "http://head:port", "http://me:word@head"):
        with pytest.raises(UsageError) as error:
            normal_address(wrong)
        assert "word" not in str(error.value)


@pytest.mark.parametrize(
    ("state", "exit_code", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", None, 1), ("FAILED", -9, 1), ("STOPPED", None, 143)],
)
def test_a_jobs_exit_code_is_ours(state: str, exit_code: int | None, code: int) -> None:
    assert Job("a", state, "c", 0.0, 1.0, exit_code, "").code == code


class Unsteady:
    """Stands for Ray's client: streams of output that break off, and answers of which some are errors."""

    def __init__(self, streams: list[list[str]], answers: list[str | OSError]) -> None:
        self.streams, self.answers = streams, answers

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for text in self.streams.pop(0):
            yield text
        if self.streams:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def get_job_info(self, job_id: str) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        plain = dict.fromkeys(("start_time", "end_time", "message", "metadata", "entrypoint", "driver_exit_code"))
        return SimpleNamespace(**plain, submission_id=job_id, status=SimpleNamespace(value=answer))

    def get_job_logs(self, job_id: str) -> str:
        return "one\ntwo\nthree\n"


def jobs_of(unsteady: Unsteady, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr(client, "POLL_S", 0.0)
    jobs = Jobs.__new__(Jobs)
    jobs.address, jobs._client = "http://head", unsteady
    return jobs


def test_output_is_followed_over_lost_connections(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long the connection was good before: only the time without an answer counts."""
    unsteady = Unsteady(
        [["one\n"], ["one\n", "tw"], ["one\ntwo\n"]],
        ["RUNNING", ConnectionError("reset"), "RUNNING", ConnectionError("reset"), "RUNNING", "SUCCEEDED"],
    )
    jobs = jobs_of(unsteady, monkeypatch)
    clock = iter(range(0, 10_000, int(client.PATIENCE_S * 0.6)))
    monkeypatch.setattr(
        client, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=time.sleep, time=time.time)
    )
    assert jobs.follow("a").state == "SUCCEEDED"
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_a_connection_that_stays_lost_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.0)
    jobs = jobs_of(Unsteady([["one\n"], []], ["RUNNING", ConnectionError("reset")]), monkeypatch)
    with pytest.raises(UsageError, match="http://head: no Ray cluster answers"):
        jobs.follow("a")
