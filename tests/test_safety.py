"""What is promised of safety for the whole source tree: no pickles, no unpacking, no open doors, no secrets."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.secrets import plain_variables

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(file for package in ("pipelines", "model", "cluster") for file in (ROOT / package).rglob("*.py"))
# Calls that run or write what a file from outside says.
FORBIDDEN = {
    *("extractall", "extract", "unpack_archive", "eval", "exec", "system", "loads_pickle"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load", "torch.load", "joblib.load"),
}


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def safe(name: str, call: ast.Call) -> bool:
    """Whether a call that could be unsafe is told to be safe."""
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name in ("np.load", "numpy.load"):
        return given.get("allow_pickle", "False") == "False"
    if name == "torch.load":
        return given.get("weights_only") == "True"
    return name.startswith("yaml.load") and given.get("Loader") in ("Loader", "LOADER")


def test_nothing_from_outside_is_unpickled_unpacked_or_run() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (pickle|cloudpickle|dill|shelve|marshal)\b", text, re.MULTILINE), file
        for name, call in calls(file):
            if name in FORBIDDEN or (name.count(".") and name.rsplit(".", 1)[1] in ("extractall", "unpack_archive")):
                assert safe(name, call), f"{file}:{call.lineno} {name}"
            assert "shell" not in {word.arg for word in call.keywords}, f"{file}:{call.lineno}"


def test_yaml_cannot_make_objects() -> None:
    import yaml

    from cluster.launch.crd import LOADER
    from cluster.yaml_file import load_yaml

    evil = "!!python/object/apply:os.system [exit]"
    with pytest.raises(yaml.YAMLError):
        load_yaml(evil)
    with pytest.raises(yaml.YAMLError):
        yaml.load(evil, Loader=LOADER)


def test_open_addresses_are_written_in_one_place_only() -> None:
    """Listening on every interface happens inside a Kubernetes pod, whose service is a ClusterIP, and nowhere else."""
    found = {file.name for file in FILES if "0.0.0.0" in file.read_text(encoding="utf-8")}
    assert found == {"kuberay.py"}


@pytest.mark.slow
def test_a_local_ray_has_no_dashboard_and_wants_a_token(tmp_path: Path) -> None:
    """What our commands start on this machine: no dashboard at all, and no call without the token."""
    code = """
import os, subprocess, sys, psutil, ray
from pipelines.stream import start_ray
start_ray()
started = psutil.Process().children(recursive=True)
listening = {one.laddr.port for p in started for one in p.net_connections("tcp") if one.status == "LISTEN"}
assert 8265 not in listening, listening
assert os.stat(os.path.expanduser("~/.ray/auth_token")).st_mode & 0o077 == 0
boards = [line for line in (" ".join(p.cmdline()) for p in started) if "dashboard/dashboard.py" in line]
assert all("--disable-frontend" in line for line in boards)
stranger = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR')"
environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 32}
done = subprocess.run([sys.executable, "-c", stranger, ray.get_runtime_context().gcs_address], env=environment,
                      capture_output=True, text=True, timeout=100)
assert done.returncode, "a stranger came in"
assert "uthent" in done.stderr, done.stderr
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("DB_PASSWORD", "x"),
        ("WANDB_API_KEY", "x"),
        ("OTHER", "-----BEGIN RSA PRIVATE KEY-----"),
        ("ENDPOINT", "https://me:word@store.example"),
        ("OTHER", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_secrets_are_recognised_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="looks like a secret") as error:
        plain_variables({name: value})
    assert value == "x" or value not in str(error.value)


def test_plain_variables_pass() -> None:
    plain = {"OMP_NUM_THREADS": "4", "RAY_AUTH_TOKEN_PATH": "/run/token", "TOKENIZERS_PARALLELISM": "false", "A": "b"}
    assert plain_variables(plain) == plain


def test_the_image_is_pinned_and_not_root() -> None:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases == ["python:3.11.14-slim-bookworm", "cpu", "${DEVICE}"]
    assert {"AS cpu", "AS cuda"} <= {line[-len("AS cuda") :].strip() for line in lines if line.startswith("FROM")}
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["1000:1000"]
    assert lines.index("USER 1000:1000") > max(place for place, line in enumerate(lines) if line.startswith("RUN"))
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 2
    assert all("--no-deps" in line for line in installs)
    assert not [line for line in lines if re.match(r"(ENV|ARG) .*(TOKEN|SECRET|PASSWORD|KEY)", line)]
