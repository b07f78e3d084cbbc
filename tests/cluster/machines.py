"""Several Ray nodes on this machine, which die and come back, and a run of `docformer pretrain` on them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

WAIT_S = 240


class Machines:
    """A head without a worker's place, and nodes of one CPU each."""

    def __init__(self, nodes: int) -> None:
        # In a folder of its own, so that no other Ray on this machine takes it for the one to join.
        self.folder = tempfile.mkdtemp(prefix="machines-", dir="/tmp")
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": self.folder}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: list[Any] = []
        for _ in range(nodes):
            self.add()

    def add(self) -> None:
        """A machine comes."""
        self.nodes.append(self.cluster.add_node(num_cpus=1, wait=False))

    def kill(self, place: int = -1) -> float:
        """A machine is gone, with everything on it; returns when, in seconds since the epoch."""
        node = self.nodes.pop(place)
        raylets = [psutil.Process(info.process.pid) for infos in node.all_processes.values() for info in infos]
        everything = [*raylets, *(child for raylet in raylets for child in raylet.children(recursive=True))]
        killed = time.time()
        for process in everything:
            process.kill()
        return killed

    def drain(self, place: int = -1, notice_s: int = 30) -> None:
        """A machine is announced to go away."""
        address, node = self.cluster.address, self.nodes[place].node_id
        options = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "announced"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address, "--node-id", node]
        subprocess.run([*ray, *options, "--deadline-remaining-seconds", str(notice_s)], check=True)

    def close(self) -> None:
        """End all."""
        self.cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


class Command:
    """A running `docformer pretrain`.

    Args:
        run: its folder.
        config: file with its settings.
        address: of the Ray to use; None: one of its own.
    """

    def __init__(self, run: Path, config: Path, *arguments: object, address: str | None = None) -> None:
        self.run = run
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"RAY_ADDRESS": address} if address else {})}
        command = [sys.executable, "-m", "cluster.cli", "pretrain", "--config", str(config), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def metrics(self) -> list[dict[str, Any]]:
        """The logged training steps so far."""
        lines = _lines(self.run / "metrics.jsonl")
        return [line for line in lines if line["split"] == "train"]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind so far."""
        return [event for event in _lines(self.run / "events.jsonl") if event["kind"] == kind]

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = WAIT_S) -> dict[str, Any]:
        """The first logged step that is `wanted`; fails when the run ends first."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = next((line for line in self.metrics() if wanted(line)), None)
            if found is not None:
                return found
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s; the last events: {_lines(self.run / 'events.jsonl')[-4:]}")

    def end(self, number: signal.Signals | None, code: int) -> str:
        """Send a signal, wait for the end, and return what was printed as errors."""
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == code, errors
        return errors


def _lines(path: Path) -> list[dict[str, Any]]:
    whole = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in whole if line.endswith("\n")]
