"""Folders on disk and in stores keep the same promises: whole files, ranges, listings, and nothing left behind."""

import errno
import hashlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
from pipelines.folders.blame import beside
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder
from pipelines.folders.store import StoreFolder
from tests.stores import gcs_bucket, s3_bucket


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_bucket("folders") as address:
        yield address


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with gcs_bucket() as address:
        yield address


@pytest.fixture(params=["local", "s3", "gs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return folder_of(tmp_path / "corpus")
    store = request.getfixturevalue("s3" if request.param == "s3" else "google")
    return folder_of(f"{store}/{tmp_path.name}/corpus")


def test_a_folder_that_is_not_there_is_empty(folder: Folder) -> None:
    assert folder.empty()
    assert not folder.is_file()
    assert folder.names() == folder.folders() == []
    assert not folder.exists("a")
    folder.remove("a")
    folder.remove_folder()
    for ask in (folder.read, folder.size, folder.changed):
        with pytest.raises(FileNotFoundError):
            ask("a")


def test_files_are_written_listed_read_by_range_and_removed(folder: Folder) -> None:
    data = os.urandom(100_000)
    folder.write("pages/b", data)
    folder.write("pages/a", pa.py_buffer(b"first"))
    folder.write("pages/a", pa.py_buffer(b"second"))
    folder.write("none", b"")
    folder.write_text("index/deep/text", "ä")
    assert not folder.empty()
    assert (folder.names(), folder.folders()) == (["none"], ["index", "pages"])
    assert (folder / "pages").names() == folder.names("pages") == ["a", "b"]
    assert (folder / "index").folders() == ["deep"]
    assert folder.read("pages/a") == b"second"
    assert folder.read("none") == b""
    assert folder.read_text("index/deep/text") == "ä"
    assert folder.size("pages/b") == len(data)
    assert folder.sha256("pages/b") == hashlib.sha256(data).hexdigest()
    assert 0 <= time.time_ns() - folder.changed("pages/b") < 120e9 or folder.address.startswith("gs://")
    with folder.open("pages/b") as file:
        assert file.read_at(50, 70_000) == data[70_000:70_050]
        file.seek(99_990)
        assert file.read() == data[99_990:]
    folder.remove("pages/a")
    assert folder.names("pages") == ["b"]
    folder.remove_folder("pages")
    folder.remove_folder("index")
    folder.remove("none")
    assert (folder.names(), [name for name in folder.folders() if not (folder / name).empty()]) == ([], [])


def test_a_file_appears_whole_or_not_at_all(folder: Folder) -> None:
    folder.write("a", b"before")
    with pytest.raises(TypeError), folder.writing("a") as file:
        file.writelines([b"half", None])
    with folder.writing("b") as file:
        file.write(b"one")
        assert not folder.exists("b")
        assert folder.names() == ["a"]
        file.write(b"two")
    assert (folder.read("a"), folder.read("b")) == (b"before", b"onetwo")
    folder.sweep()
    assert folder.names() == ["a", "b"]


def test_a_file_on_disk_is_synced_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the name with half the bytes, or no name."""
    events: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append((path.name, target.name))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    folder = folder_of(tmp_path / "corpus")
    folder.write("pages/a", b"data")
    temporary = events[0][1]
    assert temporary.endswith(".tmp")
    assert events == [("sync", temporary), (temporary, "a"), ("sync", "pages")]
    (folder / "new").bring("a", folder / "pages")
    assert events[-1] == ("sync", "new")


def test_a_sweep_removes_what_cut_off_writes_have_left_and_no_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.write("pages/a", b"data")
    for left in ("b.77.tmp", "pages/a.78.tmp", "index/deep/c.79.tmp"):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_bytes(b"half")
    assert folder.names("pages") == ["a"]
    folder.sweep()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a"]


def test_more_than_memory_keeps_goes_through_a_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.folders.store.IN_MEMORY", 1000)
    data = os.urandom(11 << 20)  # also more than one part of an upload
    with folder.writing("a") as file:
        for start in range(0, len(data), 1 << 20):
            file.write(data[start : start + (1 << 20)])
    assert folder.read("a") == data


def test_files_are_brought_from_any_folder(folder: Folder, tmp_path: Path, s3: str) -> None:
    for other in (folder / "other", folder_of(tmp_path / "elsewhere"), folder_of(f"{s3}/{tmp_path.name}/elsewhere")):
        other.write("pages/a", b"theirs")
        folder.write("pages/a", b"mine")
        folder.bring("pages/a", other)
        assert folder.read("pages/a") == b"theirs"
        folder.write("pages/a", b"mine")
        assert other.read("pages/a") == b"theirs", "a copy or a link, never the same file to write in"


def test_a_folder_is_a_plain_value(folder: Folder) -> None:
    assert folder_of(folder) is folder
    assert folder_of(folder.address) == folder == pickle.loads(pickle.dumps(folder))
    assert len({folder, folder_of(str(folder)), folder / "x"}) == 2
    assert (folder / "pages").name == "pages"
    assert (folder / "pages").address == f"{folder}/pages"


def test_a_file_in_the_folders_place(folder: Folder) -> None:
    folder.write("a", b"")
    assert (folder / "a").is_file()
    assert not folder.is_file()


def test_an_interrupt_does_not_cut_an_upload_short(
    s3: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder, data = folder_of(f"{s3}/interrupted"), os.urandom(1 << 20)
    piece, main, struck = memoryview, threading.main_thread(), 0

    def interrupted(whole: bytes) -> memoryview:
        threading.Timer(0.0, signal.pthread_kill, (main.ident, signal.SIGINT)).start()
        return piece(whole)

    def write() -> None:
        folder.write("a", data)
        time.sleep(1)

    # A shell has its background jobs ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    for _ in range(5):  # the signal strikes before, while and after the bytes go
        monkeypatch.setattr("pipelines.folders.store.memoryview", interrupted, raising=False)  # not the server's
        try:
            write()
        except KeyboardInterrupt:
            struck += 1
        monkeypatch.undo()
        assert not folder.exists("a") or folder.read("a") == data
        folder.remove("a")
    assert struck  # now and then Python drops one that strikes in a finaliser


@pytest.mark.parametrize("place", ["https://example.org/a", "s3://", "gs:///", "s3://bucket//a", "s3://bucket/../a"])
def test_what_is_no_folder_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="give"):
        folder_of(place)


def test_addresses_are_told_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("corpus") == LocalFolder(tmp_path / "corpus")
    assert folder_of(Path("corpus")) == folder_of(f"{tmp_path}/corpus")
    assert folder_of("s3://bucket/a/b/") == StoreFolder("s3", "bucket/a/b")
    assert folder_of("gs://bucket") == StoreFolder("gs", "bucket")


def test_an_error_of_writing_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    with pytest.raises(FileNotFoundError) as unwritable:
        folder_of("/proc").write_text("file", "text")
    assert unwritable.value.filename == "/proc/file"
    with pytest.raises(OSError, match="No space left") as full, folder.writing("file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.filename == str(tmp_path / "file")
    with pytest.raises(PermissionError) as other, folder.writing("file"):
        raise PermissionError(errno.EACCES, "no", "a source")
    assert other.value.filename == "a source"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as those that are written in Rust say it
    ],
)
def test_a_folder_that_cannot_be_filled_is_named_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("of it")
        raise error

    with pytest.raises(OSError, match="No space left") as full, beside(tmp_path / "model") as temporary:
        fill(temporary)
    assert full.value.filename == str(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    with beside(tmp_path / "model") as temporary:
        temporary.rename(tmp_path / "model")
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
