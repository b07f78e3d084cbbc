"""Of two runs that write to one corpus at once, one does its work and the other says that it did not."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import main
from pipelines.building import assemble as assembling
from pipelines.building.build import build
from pipelines.building.update import update
from pipelines.corpus.reader import Corpus
from pipelines.corpus.verify import verify
from pipelines.errors import JobError
from pipelines.folders.address import folder_of
from pipelines.folders.local import LocalFolder
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=100)
HOLDER = """
import sys, time
from pipelines.folders.address import folder_of
with folder_of(sys.argv[1]).alone() as ours:
    print(ours, flush=True)
    time.sleep(60)
"""

pytestmark = pytest.mark.usefixtures("ray_session")


def draw(path: Path) -> str:
    path.write_bytes(plain([f"{TEXT} {path.name}"]))
    return str(path)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The corpus of one document."""
    build([draw(tmp_path / "a.pdf")], tmp_path / "corpus", SETTINGS)
    return tmp_path / "corpus"


def test_who_comes_second_is_refused_in_one_line(
    tmp_path: Path, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, other = draw(tmp_path / "b.pdf"), tmp_path / "other"
    with folder_of(first).alone(), folder_of(other).alone():
        for command in (["update", str(first), new], ["build", new, "--out", str(other)]):
            assert main(["corpus", *command]) == 2
            error = capsys.readouterr().err
            assert "another process is writing there" in error
            assert error.count("\n") == 1
    assert not other.exists()
    assert update(first, [new], SETTINGS).taken == 2


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "corpus"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with folder_of(out).alone() as ours:
            assert not ours
        process.send_signal(signal.SIGKILL)
    assert list(out.iterdir()) == []
    with folder_of(out).alone() as ours:
        assert ours


@pytest.mark.parametrize("in_place", [True, False])
def test_without_locks_who_commits_second_fails(
    tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    """As in a store: the other run begins and ends between this one's beginning and its commit."""
    monkeypatch.setattr(LocalFolder, "alone", lambda _: nullcontext(True))
    one, two = draw(tmp_path / "b.pdf"), draw(tmp_path / "c.pdf")
    out = first if in_place else tmp_path / "new"

    def run(source: str) -> Any:
        return update(first, [source], SETTINGS) if in_place else build([source], out, SETTINGS, overwrite=True)

    usual: Callable[..., Any] = assembling.write_manifest

    def late(*args: Any) -> Any:
        monkeypatch.setattr(assembling, "write_manifest", usual)
        run(two)
        return usual(*args)

    monkeypatch.setattr(assembling, "write_manifest", late)
    with pytest.raises(JobError, match="another run has written there meanwhile"):
        run(one)
    assert verify(out) == []
    names = {row["source"]["uri"] for row in Corpus.open(out).rows(["source"])}
    assert names == ({"a.pdf", "c.pdf"} if in_place else {"c.pdf"})
