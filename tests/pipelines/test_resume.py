"""A build that is killed is finished by --resume to the same corpus; an output folder is never overwritten unasked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.cli import main
from pipelines.building.build import build
from pipelines.corpus.reader import Corpus
from pipelines.corpus.shards import shard_names
from pipelines.corpus.verify import verify
from pipelines.errors import UsageError
from pipelines.folders.local import LocalFolder
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, encrypted, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=1500, shard_pages=4)
QUICK = SETTINGS.model_copy(update={"image_long_side": 100, "shard_pages": 32})
FLAGS = ["--ocr", "text-layer", "--image-long-side", "1500", "--shard-pages", "4", "--workers", "1"]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.pdf").write_bytes(plain([f"{TEXT} {number} {page}" for page in range(8)]))
    (folder / "locked.pdf").write_bytes(encrypted("x"))
    return folder


@pytest.mark.usefixtures("ray_session")
def test_a_killed_build_is_resumed_to_the_same_corpus(tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cluster.cli", "corpus", "build", str(documents), "--out", str(out), *FLAGS]
    # Ray gives way to everything else on the machine; here it is what is waited for.
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stderr=quiet, stdout=quiet, env=environment) as process:
        deadline = time.monotonic() + 90
        while len(shard_names(out / "pages")) < 2:
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    kept = {name: (out / "pages" / name).stat().st_mtime_ns for name in shard_names(out / "pages")}
    assert not (out / "manifest.json").exists()
    with pytest.raises(UsageError, match="finish with --resume"):
        Corpus.open(out)
    with pytest.raises(UsageError, match="or --resume"):
        build([str(documents)], out, SETTINGS)
    with pytest.raises(UsageError, match=r"grid_rows was 4.*jpeg_quality was 80"):
        build([str(documents)], out, SETTINGS.model_copy(update={"grid_rows": 5, "jpeg_quality": 70}), resume=True)
    (out / "pages" / "part-x.parquet.99.tmp").write_bytes(b"half a shard")

    resumed = build([str(documents)], out, SETTINGS, resume=True)
    whole = build([str(documents)], tmp_path / "whole", SETTINGS)
    assert resumed.corpus_digest == whole.corpus_digest
    assert (resumed.found, resumed.taken, resumed.quarantined, resumed.pages) == (13, 12, 1, 96)
    assert verify(out) == []
    assert sorted(path.name for path in out.iterdir()) == ["index", "manifest.json", "pages", "quarantine"]
    assert not list(out.rglob("*.tmp"))
    names = shard_names(out / "pages")
    assert names == shard_names(tmp_path / "whole" / "pages")
    assert len(kept) < len(names), "killed in the middle"
    assert {name: (out / "pages" / name).stat().st_mtime_ns for name in kept} == kept, "finished work is not done again"


@pytest.mark.usefixtures("ray_session")
def test_documents_may_come_and_go_before_a_resume(
    tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.building.assemble.write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build([str(documents)], out, QUICK)
    (documents / "3.pdf").unlink()
    (documents / "locked.pdf").unlink()
    (documents / "0a.pdf").write_bytes(plain(["a new document"]))
    resumed = build([str(documents)], out, QUICK, resume=True)
    assert (resumed.found, resumed.taken, resumed.pages) == (12, 12, 89)
    assert resumed.reasons == {}
    assert verify(out) == []
    assert resumed.corpus_digest == build([str(documents)], tmp_path / "whole", QUICK).corpus_digest


@pytest.mark.usefixtures("ray_session")
def test_overwriting_with_nothing_keeps_what_is_there(tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "out"
    before = build([str(documents / "0.pdf")], out, QUICK)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("no document")
    with pytest.raises(UsageError, match="holds no PDF"):
        build([str(tmp_path / "empty")], out, QUICK, overwrite=True)
    assert Corpus.open(out).digest == before.corpus_digest
    after = build([str(documents / "1.pdf")], out, QUICK, overwrite=True)
    assert after.corpus_digest != before.corpus_digest
    assert verify(out) == []


def test_an_output_folder_is_never_lost(
    tmp_path: Path, documents: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise DropError(Reason.CRASHED)

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("ten years of work")
    for flags in ([], ["--overwrite"], ["--resume"]):
        assert main(["corpus", "build", str(documents), "--out", str(foreign), *flags]) == 2
        error = capsys.readouterr().err
        assert "already holds something" in error
        assert error.count("\n") == 1
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert main(["corpus", "build", str(documents), "--out", str(foreign / "thesis.txt")]) == 2
    assert (foreign / "thesis.txt").read_text() == "ten years of work"
    new = tmp_path / "new"
    assert main(["corpus", "build", str(documents / "nothing"), "--out", str(new)]) == 2
    monkeypatch.setattr("pipelines.ocr.isolated.IsolatedEngine.load", fail)
    assert main(["corpus", "build", str(documents), "--out", str(new)]) == 2
    assert "OCR engine auto cannot be loaded" in capsys.readouterr().err
    assert not new.exists()


def test_a_complete_corpus_is_not_resumed(tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "out"
    (out / "pages").mkdir(parents=True)
    (out / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(UsageError, match="nothing to resume"):
        build([str(documents)], out, SETTINGS, resume=True)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_a_build_killed_amid_clearing_the_folder_is_finished(
    tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    out = tmp_path / "out"
    before = build([str(documents / "0.pdf")], out, QUICK)
    remove = LocalFolder.remove_folder

    def killed(folder: LocalFolder, name: str = "") -> None:
        remove(folder, name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "remove_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            build([str(documents / "1.pdf")], out, QUICK, overwrite=True)
    with pytest.raises(UsageError, match="add --overwrite or --resume"):
        build([str(documents / "1.pdf")], out, QUICK)
    after = build([str(documents / "1.pdf")], out, QUICK, **{flag: True})
    assert after.corpus_digest != before.corpus_digest
    assert verify(out) == []
    assert not (out / "build.json").exists()


@pytest.mark.usefixtures("ray_session")
def test_a_build_killed_at_its_first_byte_is_begun_again(tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "build.json.77.tmp").write_text("{")
    assert build([str(documents / "1.pdf")], out, QUICK).taken == 1
    assert not list(out.glob("*.tmp"))
