"""SIGKILL at each step of a commit, of a build and of updates, and of Ray's workers: what is there stays whole."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from cluster.cli import main
from pipelines.building.build import build
from pipelines.corpus.diff import diff
from pipelines.corpus.reader import Corpus
from pipelines.corpus.verify import verify
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=100, shard_pages=8, drop_duplicates=True)
FLAGS = ["--ocr", "text-layer", "--image-long-side", "100", "--shard-pages", "8", "--drop-duplicates"]
# The commit's steps: after the shards are written and before the manifest, after it, and amid the clearing away.
STEPS = {
    "before any shard": ("pipelines.building.assemble", "run_jobs", "before"),
    "before a revised shard": ("pipelines.building.revise", "write_part", "before"),
    "after the data": ("pipelines.corpus.manifest", "write_text", "before"),
    "after the manifest": ("pipelines.corpus.manifest", "write_text", "after"),
    "after the clearing": ("pipelines.building.assemble", "clear", "after"),
}
KILLER = """
import importlib, os, signal, sys
module, name, when = sys.argv[1:4]
place = importlib.import_module(module)
work = getattr(place, name)
def killed(*args, **kwargs):
    if when == "after":
        work(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(place, name, killed)
from cluster.cli import main
sys.exit(main(sys.argv[4:]))
"""

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """Folder with sources `in` and `more`, a corpus of `in`, `whole` of both, `fine` of both with another grid."""
    folder = tmp_path_factory.mktemp("kills")
    for name, first in (("in", 0), ("more", 8)):
        (folder / name).mkdir()
        for number in range(first, first + 8):
            (folder / name / f"{number}.pdf").write_bytes(plain([f"{TEXT} {number}", f"{TEXT} {number % 6} again"]))
    build([str(folder / "in")], folder / "corpus", SETTINGS)
    build([str(folder / "in"), str(folder / "more")], folder / "whole", SETTINGS)
    fine = SETTINGS.model_copy(update={"grid_rows": 8})
    build([str(folder / "in"), str(folder / "more")], folder / "fine", fine)
    return folder


def killed_at(step: str, *command: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLER, *STEPS[step], *command], capture_output=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]


def same(a: Path, b: Path) -> None:
    assert verify(a) == []
    assert not diff(a, b)
    assert Corpus.open(a).manifest["totals"] == Corpus.open(b).manifest["totals"]
    assert sorted(path.name for path in a.iterdir()) == ["index", "manifest.json", "pages", "quarantine"]
    assert not list(a.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_build_killed_at_a_step_is_resumed(tmp_path: Path, built: Path, step: str) -> None:
    out = tmp_path / "out"
    command = ["corpus", "build", str(built / "in"), "--out", str(out), *FLAGS]
    killed_at(step, *command)
    if step != "after the clearing":
        assert main([*command, "--resume"]) == 0
    same(out, built / "corpus")


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("in_place", [True, False])
def test_an_update_killed_at_a_step_leaves_the_old_corpus_or_the_new(
    tmp_path: Path, built: Path, step: str, in_place: bool
) -> None:
    corpus = tmp_path / "corpus"
    build([str(built / "in")], corpus, SETTINGS)
    out = [] if in_place else ["--out", str(tmp_path / "new")]
    target = corpus if in_place else tmp_path / "new"
    killed_at(step, "corpus", "update", str(corpus), str(built / "more"), "--grid-rows", "8", *out)
    committed = step in ("after the manifest", "after the clearing")
    if in_place or not committed:
        now = Corpus.open(corpus)  # complete at any moment, also with left-overs beside it
        assert now.digest == Corpus.open(built / ("fine" if in_place and committed else "corpus")).digest
        assert sum(1 for _ in now.rows(["page_id"])) == now.manifest["totals"]["pages"]
    if step != "after the clearing":
        assert main(["corpus", "update", str(corpus), *out, "--resume"]) == 0
    same(target, built / "fine")
    same(corpus, built / ("fine" if in_place else "corpus"))


def test_a_killed_ray_worker_costs_nothing(tmp_path: Path, built: Path) -> None:
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while not done.is_set() and len(killed) < 2:
            for process in psutil.Process().children(recursive=True):
                try:
                    if process.name().startswith("ray::") and "Map" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        break
                except psutil.Error:
                    continue
            time.sleep(0.3)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        build([str(built / "in"), str(built / "more")], tmp_path / "out", SETTINGS)
    finally:
        done.set()
        thread.join()
    assert killed, "a worker was killed while it worked"
    same(tmp_path / "out", built / "whole")


def test_another_parallelism_gives_the_same_corpus(tmp_path: Path, built: Path) -> None:
    other = SETTINGS.model_copy(update={"workers": 1, "shard_pages": 3})
    build([str(built / "more"), str(built / "in")], tmp_path / "out", other)
    assert not diff(tmp_path / "out", built / "whole")
    assert Corpus.open(tmp_path / "out").digest == Corpus.open(built / "whole").digest
