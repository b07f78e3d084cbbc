"""SIGKILL at each step of a commit, of a build and of updates, and of Ray's workers: what is there stays whole."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    "after the data": ("pipelines.corpus.manifest", "commit", "before"),
    "after the manifest": ("pipelines.corpus.manifest", "commit", "after"),
    "after the clearing": ("pipelines.building.assemble", "clear", "after"),
}
# Of the worker that reads and writes a part.
WORKER_STEPS = {"before it reads", "amid its pages", "before it writes the facts", "after its work"}
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


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # which has ended and waits for Ray to look
    except psutil.NoSuchProcess:
        return False


def deadly(marks: Path) -> Callable[..., dict[str, Any]]:
    """`read_job`, but its Ray worker dies of SIGKILL when the first of all comes to each of WORKER_STEPS.

    Each leaves a file in `marks` that names the worker and its reading child.
    """

    def read_job(*args: Any) -> dict[str, Any]:
        from pipelines.building import jobs
        from pipelines.corpus import parts

        maker = jobs.page_maker(args[0], args[2])
        rows, write_table = maker.rows, parts.write_table

        def reach(step: str) -> None:
            try:
                with (marks / step).open("x") as mark:
                    json.dump([os.getpid(), maker.reader.child_pid], mark)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

        def rows_until(unit: Any) -> Any:
            done = rows(unit)
            reach("amid its pages")
            return done

        def write_until(*asked: Any) -> Any:
            if "signature" in asked[2].schema.names:
                reach("before it writes the facts")
            return write_table(*asked)

        reach("before it reads")
        vars(maker)["rows"], parts.write_table = rows_until, write_until
        try:
            done = jobs.read_job(*args)
        finally:
            del vars(maker)["rows"]
            parts.write_table = write_table
        reach("after its work")
        return done

    return read_job


@pytest.mark.parametrize("shard_pages", [8, 2], ids=["tasks", "actors"])  # two pages: jobs enough for actors
def test_a_killed_ray_worker_costs_nothing(
    tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch, shard_pages: int
) -> None:
    (marks := tmp_path / "marks").mkdir()
    monkeypatch.setattr("pipelines.building.jobs.read_job", deadly(marks))
    settings = SETTINGS.model_copy(update={"shard_pages": shard_pages})
    build([str(built / "in"), str(built / "more")], tmp_path / "out", settings)
    same(tmp_path / "out", built / "whole")
    assert {mark.name for mark in marks.iterdir()} == WORKER_STEPS
    processes = {pid for mark in marks.iterdir() for pid in json.loads(mark.read_text()) if pid}
    assert len(processes) > len(WORKER_STEPS), "workers and reading children"
    assert not [pid for pid in processes if is_alive(pid)]


def test_another_parallelism_gives_the_same_corpus(tmp_path: Path, built: Path) -> None:
    other = SETTINGS.model_copy(update={"workers": 1, "shard_pages": 3})
    build([str(built / "more"), str(built / "in")], tmp_path / "out", other)
    assert not diff(tmp_path / "out", built / "whole")
    assert Corpus.open(tmp_path / "out").digest == Corpus.open(built / "whole").digest
