"""Corpora in object stores: built, updated, checked and read as on disk, exactly once, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.runs.status import status
from cluster.samples.corpora import Corpora
from cluster.samples.mixture import WeightedCorpus
from cluster.samples.page_index import make_index
from cluster.samples.pages import PageStore
from pipelines.building.build import build
from pipelines.building.output import BUILD
from pipelines.building.update import update
from pipelines.corpus.diff import diff
from pipelines.corpus.reader import MANIFEST, Corpus, read_manifest
from pipelines.corpus.shards import shard_names
from pipelines.corpus.verify import verify
from pipelines.errors import UsageError
from pipelines.folders.address import Place, folder_of
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain
from tests.pipelines.test_kills import KILLER, STEPS
from tests.stores import gcs_bucket, s3_bucket

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=200, shard_pages=4, drop_duplicates=True)
FLAGS = ["--ocr", "text-layer", "--image-long-side", "200", "--shard-pages", "4", "--drop-duplicates"]
# Filters that compare pages would revise parts, whose names then change.
SLOW = SETTINGS.model_copy(update={"image_long_side": 1500, "drop_duplicates": False})
SLOW_FLAGS = [flag.replace("200", "1500") for flag in FLAGS if flag != "--drop-duplicates"]

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_bucket("corpora") as address:
        yield address


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with gcs_bucket() as address:
        yield address


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """Folder with sources `in` and `more`, a corpus of `in` and `fine`, of both with another grid; all on disk."""
    folder = tmp_path_factory.mktemp("stores")
    for name, first in (("in", 0), ("more", 8)):
        (folder / name).mkdir()
        for number in range(first, first + 8):
            (folder / name / f"{number}.pdf").write_bytes(plain([f"{TEXT} {number}", f"{TEXT} {number % 6} again"]))
    build([str(folder / "in")], folder / "corpus", SETTINGS)
    fine = SETTINGS.model_copy(update={"grid_rows": 8})
    build([str(folder / "in"), str(folder / "more")], folder / "fine", fine)
    return folder


def same(store: Place, disk: Place) -> None:
    """The two corpora are equal, and the store's holds nothing else."""
    assert verify(store) == []
    assert not diff(store, disk)
    assert Corpus.open(store).manifest["totals"] == Corpus.open(disk).manifest["totals"]
    folder, manifest = folder_of(store), read_manifest(store)
    assert folder.names() == [MANIFEST]
    for kind, listed in manifest["shards"].items():
        assert folder.names(kind) == sorted(shard["name"] for shard in listed)


def test_a_corpus_in_a_store_is_the_one_on_disk(s3: str, built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"{s3}/first/corpus"
    command = ["corpus", "build", str(built / "in"), "--out", out, *FLAGS]
    assert main(command) == 0
    same(out, built / "corpus")
    assert main(command) == 2
    assert f"{out}: already holds something" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    for command_line in (["corpus", "verify", out], ["corpus", "stats", out], ["status", out]):
        assert main(command_line) == 0
    assert main(["corpus", "diff", out, str(built / "corpus")]) == 0
    report = built / "report.html"
    assert main(["corpus", "report", out, "--out", str(report)]) == 0
    assert report.stat().st_size > 10_000
    assert main(["tokenizer", "train", out, "--out", str(built / "tokenizer"), "--vocab-size", "80"]) == 0
    assert main([*command, "--overwrite"]) == 0
    same(out, built / "corpus")


def test_google_cloud_storage_holds_corpora_too(google: str, built: Path, tmp_path: Path) -> None:
    build([str(built / "in")], tmp_path / "corpus", SETTINGS)
    update(tmp_path / "corpus", [], SETTINGS.model_copy(update={"grid_rows": 8}), f"{google}/corpus")
    update(f"{google}/corpus", [], SETTINGS)
    same(f"{google}/corpus", built / "corpus")


def test_an_update_takes_what_is_there_from_disk_or_store(s3: str, built: Path, tmp_path: Path) -> None:
    more, fine = [str(built / "more")], SETTINGS.model_copy(update={"grid_rows": 8})
    build([str(built / "in")], f"{s3}/second", SETTINGS)
    update(f"{s3}/second", more, SETTINGS, f"{s3}/third")
    assert "fingerprint" in diff(f"{s3}/third", built / "fine").columns
    update(f"{s3}/third", [], fine)
    update(f"{s3}/second", more, fine, tmp_path / "disk")
    update(built / "corpus", more, fine, f"{s3}/fourth")
    for place in (f"{s3}/third", tmp_path / "disk", f"{s3}/fourth"):
        same(place, built / "fine")
    same(f"{s3}/second", built / "corpus")


def test_training_reads_the_same_rows_by_range(s3: str, built: Path) -> None:
    build([str(built / "in")], f"{s3}/read", SETTINGS)
    rows = []
    for place in (str(built / "corpus"), f"{s3}/read=0.7"):
        corpora = Corpora.open([WeightedCorpus.parse(place)])
        store = PageStore(corpora, make_index(corpora, 0.2))
        rows.append(store.held_out(range(store.index.held_out_pages)))
        assert {row["page_id"] for row in rows[-1]} < {row["page_id"] for row in Corpus.open(corpora.paths[0]).rows()}
    assert [row["page_id"] for row in rows[0]] == [row["page_id"] for row in rows[1]]
    assert [row["image"] for row in rows[0]] == [row["image"] for row in rows[1]]


@pytest.mark.parametrize("place", ["s3://no-such-bucket/corpus", "ftp://host/corpus"])
def test_a_place_that_cannot_be_written_to_is_one_clear_line(
    s3: str, built: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "build", str(built / "in"), "--out", place, *FLAGS]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert place in line
    assert "Traceback" not in line


def test_a_driver_that_is_killed_is_resumed_to_the_same_corpus(s3: str, built: Path) -> None:
    out = folder_of(f"{s3}/killed")
    command = [sys.executable, "-m", "cluster.cli", "corpus", "build", str(built / "in"), "--out", str(out)]
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    quiet = subprocess.DEVNULL
    arguments = [*command, *SLOW_FLAGS, "--workers", "1"]
    with subprocess.Popen(arguments, stderr=quiet, stdout=quiet, env=environment) as process:
        deadline = time.monotonic() + 90
        while not shard_names(out / "index/pages"):
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert out.exists(BUILD)
    assert status(out)["state"] == "being built"
    with pytest.raises(UsageError, match="finish with --resume"):
        Corpus.open(out)
    with pytest.raises(UsageError, match="or --resume"):
        build([str(built / "in")], out, SLOW)
    kept = {name: out.changed(f"index/pages/{name}") for name in shard_names(out / "index/pages")}
    build([str(built / "in")], out, SLOW, resume=True)
    build([str(built / "in")], built / "slow", SLOW)
    same(out, built / "slow")
    assert {name: out.changed(f"index/pages/{name}") for name in kept} == kept, "finished work is not done again"


def killed_at(step: str, command: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, "-c", KILLER, *STEPS[step], *command], capture_output=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_build_killed_at_a_step_is_resumed(s3: str, built: Path, step: str) -> None:
    out = f"{s3}/build {step}"
    command = ["corpus", "build", str(built / "in"), "--out", out, *FLAGS]
    killed_at(step, command)
    if step != "after the clearing":
        assert main([*command, "--resume"]) == 0
    same(out, built / "corpus")


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_an_update_killed_at_a_step_leaves_the_old_corpus_or_the_new(s3: str, built: Path, step: str) -> None:
    corpus = f"{s3}/update {step}"
    build([str(built / "in")], corpus, SETTINGS)
    killed_at(step, ["corpus", "update", corpus, str(built / "more"), "--grid-rows", "8"])
    now, committed = Corpus.open(corpus), step in ("after the manifest", "after the clearing")
    assert now.digest == Corpus.open(built / ("fine" if committed else "corpus")).digest
    assert sum(1 for _ in now.rows(["page_id"])) == now.manifest["totals"]["pages"]
    if step != "after the clearing":
        assert main(["corpus", "update", corpus, "--resume"]) == 0
    same(corpus, built / "fine")
