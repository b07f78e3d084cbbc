"""What `docformer submit` finds out before it reaches any cluster, and what it would send."""

from pathlib import Path

import pytest

from cluster.cli import main
from cluster.jobs import project
from cluster.jobs.client import Job, normal_address, on_this_machine, travels_open
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
