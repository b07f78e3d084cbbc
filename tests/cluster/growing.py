"""A Ray cluster on this machine that starts nodes of one CPU as work asks for them, and ends those that are idle.

Ray's own autoscaler decides; its provider for tests starts real Ray nodes. (`ray.cluster_utils.AutoscalingCluster` does
the same, but stops every other Ray on the machine first, and needs a file that is not in Ray's wheel.)
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HEAD = "ray.head.default"
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
IDLE_S = 5.0


class GrowingCluster:
    """A head without a CPU, and up to `most` nodes of one CPU each.

    Attributes:
        address: for RAY_ADDRESS.
    """

    def __init__(self, most: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="growing-", dir="/tmp"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        import ray

        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        empty = {name: [] for name in ("initialization_commands", "setup_commands", "rsync_exclude", "rsync_filter")}
        for where in ("head", "worker"):
            empty |= {f"{where}_setup_commands": [], f"{where}_start_ray_commands": []}
        config = {
            **empty,
            **{"cluster_name": "growing", "max_workers": most, "upscaling_speed": 1.0},
            **{"auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": []},
            "file_mounts_sync_continuously": False,
            "idle_timeout_minutes": IDLE_S / 60,
            # By the name of its class: the file of defaults that goes with its short name is not in Ray's wheel.
            "provider": {
                **{"type": "external", "module": PROVIDER, "gcs_address": self.address},
                "disable_node_updaters": True,
                "use_node_id_as_ip": True,  # all nodes have this machine's
            },
            "head_node_type": HEAD,
            "available_node_types": {
                HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "one": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": most},
            },
        }
        file = self.folder / "autoscaling.json"
        file.write_text(json.dumps(config))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        command += ["--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}/ray"]
        environment = {**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        with (self.folder / "log").open("wb") as log:
            self.head = subprocess.Popen(
                [*command, f"--autoscaling-config={file}"], env=environment, stdout=log, stderr=log
            )

    def nodes(self) -> int:
        """Nodes of one CPU that run: a raylet each, besides the head's."""
        found = [process for process in self._processes() if _name(process) == "raylet"]
        return max(0, len(found) - 1)

    def wait_for(self, wanted: Callable[[int], bool], seconds: float) -> None:
        """Wait until the number of nodes is `wanted`."""
        deadline = time.monotonic() + seconds
        while not wanted(self.nodes()):
            assert self.head.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, f"{self.nodes()} nodes after {seconds} s"
            time.sleep(0.2)

    def close(self) -> None:
        """End all that it has started."""
        processes = self._processes()
        self.head.kill()
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.head.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        return psutil.Process(self.head.pid).children(recursive=True) if self.head.poll() is None else []


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""
