"""`docformer submit` against a real Ray cluster with token authentication, as another program in another folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import OBJECTIVES, TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TOKEN = "0123456789abcdef0123456789abcdef"
WAIT_S = 280


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """A running head node, and a folder of documents to work in."""

    address: str
    metrics: str
    folder: Path

    def start(self, *words: object, token: str | None = TOKEN, address: str | None = None) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        if token is not None:
            environment["RAY_AUTH_TOKEN"] = token
        command = [sys.executable, "-m", "cluster.cli", "submit", "--address", address or self.address]
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        return subprocess.Popen(
            [*command, *map(str, words)],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def submit(self, *words: object, code: int = 0, **more: Any) -> tuple[str, str]:
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == code, out + err
        return out, err

    def jobs(self) -> list[dict[str, Any]]:
        return list(json.loads(self.submit("list", "--json")[0]))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from pipelines.synthetic import generate

    folder = tmp_path_factory.mktemp("elsewhere")
    generate(folder / "documents", documents=12, seed=5, scans=0.0, hostile=0)
    port, dashboard, metrics = free_port(), free_port(), free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_metrics_report_interval_ms": "1000",
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
    }
    ray = Path(sys.executable).with_name("ray")
    # --block: all of Ray's processes end with this one. A folder of its own, with a short path for the sockets in it:
    # no other program on this machine shall take this cluster for its own.
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    command = [ray, "start", "--head", "--block", "--num-cpus", 2, "--disable-usage-stats", "--temp-dir", scratch]
    command += ["--port", port, "--dashboard-port", dashboard, "--metrics-export-port", metrics]
    command += ["--ray-client-server-port", free_port(), "--dashboard-agent-listen-port", free_port()]
    with (Path(scratch) / "head.log").open("w") as log:
        head = subprocess.Popen([*map(str, command)], env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/gcs_healthz", timeout=5).close()
                break
            except OSError:
                assert head.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
        yield Cluster(address, f"http://127.0.0.1:{metrics}/metrics", folder)
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(timeout=60)
        shutil.rmtree(scratch, ignore_errors=True)


def pretraining(folder: Path, steps: int) -> Path:
    values = {
        "corpus": "corpus",
        "tokenizer": "tokenizer",
        "out": "run",
        "preset": "tiny",
        "model": TINY,
        "objectives": OBJECTIVES,
        "steps": steps,
        "global_batch_pages": 4,
        "micro_batch_pages": 2,
        "warmup_steps": 2,
        "held_out": 0.2,
        "eval_pages": 3,
        "eval_every": 1000,
        "checkpoint_every": 1000,
        "workers": 2,
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"pretrain": values}))
    return path


def exported(cluster: Cluster, name: str) -> str | None:
    with urllib.request.urlopen(cluster.metrics, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next((line for line in lines if line.startswith(name + "{")), None)


def test_a_corpus_a_run_a_stop_and_a_list(cluster: Cluster) -> None:
    out, err = cluster.submit("--", "corpus", "build", "documents", "--out", "corpus", "--ocr", "text-layer")
    assert "pages: " in out
    assert "pages/s" in out
    assert f"environment: {sys.executable}" in out
    assert "succeeded" in err
    assert TOKEN not in out + err
    assert (cluster.folder / "corpus" / "manifest.json").is_file()
    # The job's own exit code, and its own words.
    out, err = cluster.submit("--", "corpus", "stats", "nowhere", code=2)
    assert "nowhere/manifest.json: not found" in out
    cluster.submit("--", "tokenizer", "train", "corpus", "--out", "tokenizer", "--vocab-size", "300")

    process = cluster.start("--config", pretraining(cluster.folder, steps=100_000))
    metrics = cluster.folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + WAIT_S
    while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    running = next(job for job in cluster.jobs() if job["state"] == "RUNNING")
    assert running["command"] == "docformer pretrain"
    while (loss := exported(cluster, "ray_docformer_train_loss")) is None:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert f'run="{running["id"]}"' in loss

    out, _ = cluster.submit("stop", running["id"], "--json")
    assert json.loads(out)["state"] == "STOPPED"
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 143, out + err
    assert "SIGTERM: saving a checkpoint" in out
    assert (cluster.folder / "run" / "latest").is_file()
    assert "stopped" in err

    # It goes on where it was stopped.
    step = max(json.loads(line)["step"] for line in metrics.read_text().splitlines())
    cluster.submit("--config", cluster.folder / "run.yaml", "--", "pretrain", "--resume", "--steps", step + 5)
    assert (cluster.folder / "run" / "model" / "model.safetensors").is_file()
    states = [job["state"] for job in cluster.jobs()]
    assert states == ["SUCCEEDED", "FAILED", "SUCCEEDED", "STOPPED", "SUCCEEDED"]


def test_detached(cluster: Cluster) -> None:
    out, _ = cluster.submit("--detach", "--", "corpus", "stats", "nowhere")
    job = out.strip()
    out, _ = cluster.submit("logs", job, "--follow", code=2)
    assert "not found" in out
    assert cluster.submit("logs", job)[0] == out
    status = json.loads(cluster.submit("status", job, "--json")[0])
    assert (status["state"], status["exit_code"]) == ("FAILED", 2)
    out, _ = cluster.submit("stop", job, "--json")
    assert json.loads(out)["state"] == "FAILED"


@pytest.mark.parametrize("action", [("list",), ("--", "corpus", "stats", "corpus")])
def test_what_cannot_be_reached_is_one_line(cluster: Cluster, action: tuple[str, ...]) -> None:
    nothing = f"http://127.0.0.1:{free_port()}"
    for more, says in (
        ({"token": "f" * 32}, "the token is wrong"),
        ({"token": None}, "the token is missing"),
        ({"address": nothing}, f"{nothing}: nothing answers"),
        ({"address": "ray://127.0.0.1:10001"}, "give the dashboard's"),
        ({"address": cluster.metrics.removesuffix("/metrics")}, "no Ray cluster answers"),
    ):
        out, err = cluster.submit(*action, code=2, **more)
        assert not out
        assert len(err.splitlines()) == 1, err
        assert says in err
        assert TOKEN not in err
        assert "f" * 32 not in err


def test_a_folder_and_an_interpreter_that_are_not_there(cluster: Cluster) -> None:
    out, _ = cluster.submit("--folder", "/nowhere", "--", "corpus", "stats", "corpus", code=2)
    assert "folder /nowhere on the cluster" in out
    cluster.submit("--python", "/nowhere/python", "--", "corpus", "stats", "corpus", code=127)


def test_an_unknown_job_is_one_line(cluster: Cluster) -> None:
    for action in ("status", "stop", "logs"):
        _, err = cluster.submit(action, "nobody", code=2)
        assert "knows no job nobody" in err
