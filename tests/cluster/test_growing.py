"""A corpus build on several Ray nodes, which come when there is work and go when there is none."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.building.build import build
from pipelines.corpus.diff import diff
from pipelines.corpus.verify import verify
from pipelines.settings import CorpusSettings
from pipelines.synthetic import generate
from tests.cluster.growing import IDLE_S, GrowingCluster
from tests.cluster.machines import Machines
from tests.stores import s3_bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FLAGS = ["--ocr", "text-layer", "--image-long-side", "1600", "--shard-pages", "8"]
SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=1600, shard_pages=8)
# Ray Data asks for another node at most every so many seconds, once those there were busy for as long (10 by default),
# and what it asked for counts for so many seconds (180 by default), also when the driver is gone.
SOON = {
    "RAY_DATA_MIN_GAP_BETWEEN_AUTOSCALING_REQUESTS": "2",
    "RAY_DATA_CLUSTER_UTIL_AVG_WINDOW_S": "2",
    "RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S": "20",
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes") / "in"
    generate(folder, documents=120, seed=7, scans=0.0, hostile=0)
    return folder


@pytest.fixture(scope="module")
def alone(documents: Path, ray_session: None) -> Path:
    """The corpus of the documents, built without other nodes."""
    build([str(documents)], documents.parent / "alone", SETTINGS)
    return documents.parent / "alone"


@pytest.fixture
def cluster() -> Iterator[GrowingCluster]:
    here = GrowingCluster(most=2)
    yield here
    here.close()


def started(documents: Path, out: str, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cluster.cli", "corpus", "build", str(documents), "--out", out, "--json"]
    environment = {**os.environ, **SOON, "RAY_ADDRESS": address, "RAY_worker_niceness": "0"}
    quiet = subprocess.PIPE
    return subprocess.Popen([*command, *FLAGS], env=environment, text=True, stdout=quiet, stderr=quiet)


def ended(process: subprocess.Popen[str]) -> dict[str, object]:
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    return dict(json.loads(out))


def test_a_build_brings_nodes_and_idle_ones_go(
    cluster: GrowingCluster, documents: Path, alone: Path, tmp_path: Path
) -> None:
    assert cluster.nodes() == 0
    most = 0
    process = started(documents, str(tmp_path / "out"), cluster.address)

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, cluster.nodes())
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ended(process)
    watcher.join()
    assert most == 2, "it grew as far as it may"
    assert not diff(tmp_path / "out", alone)
    cluster.wait_for(lambda nodes: nodes == 0, IDLE_S + 60)


def test_nodes_write_to_the_store_themselves(documents: Path, alone: Path) -> None:
    with s3_bucket("nodes") as bucket:
        machines = Machines(2)
        try:
            ended(started(documents, f"{bucket}/corpus", machines.cluster.address))
        finally:
            machines.close()
        assert verify(f"{bucket}/corpus") == []
        assert not diff(f"{bucket}/corpus", alone)
