"""What goes wrong with one item, in a worker or a thread, is one line here."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.cli import main
from pipelines.errors import JobError, UsageError, WorkError
from pipelines.stream import _plain_errors, in_threads, on_ray
from tests.pipelines.hostile import TEXT, plain

Stream = Callable[..., Iterator[dict[str, Any]]]


def work(item: str) -> dict[str, Any]:
    """Do what `item` says; in the tests' own module, which Ray's workers import."""
    if item == "usage":
        raise UsageError("a shard: not the one")
    if item == "job":
        raise JobError("an account: no balance")
    if item == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/corpus/part")
    if item == "bug":
        return {"value": {}["no such key"]}
    return {"value": 1}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("stream", [on_ray, in_threads])
@pytest.mark.parametrize(
    ("item", "kind", "says"),
    [
        ("usage", UsageError, "a shard: not the one"),
        ("job", JobError, "an account: no balance"),
        ("full", WorkError, "/corpus/part: No space left on device"),
        ("bug", WorkError, "KeyError: 'no such key'; traceback in "),
    ],
)
def test_an_error_of_the_work_comes_out_as_itself(
    stream: Stream, item: str, kind: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(kind) as caught:
        list(stream(["fine", item], work, 1))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    files = list(tmp_path.iterdir())
    assert len(files) == (item == "bug")
    assert all('return {"value": {}[' in file.read_text() for file in files)


@pytest.mark.usefixtures("ray_session")
def test_a_full_disk_ends_a_build_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pdf").write_bytes(plain([TEXT]))
    command = ["corpus", "build", str(tmp_path / "a.pdf"), "--out", str(tmp_path / "out"), "--ocr", "text-layer"]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/corpus/part")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.building.jobs.write_part", full)
        patch.setattr("pipelines.building.jobs.on_ray", in_threads_of_jobs)
        assert main(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "failed: /corpus/part: No space left on device" in error
    assert error.endswith(f"{tmp_path / 'out'} keeps what is done; go on with the same command and --resume")
    assert main([*command, "--resume"]) == 0


def in_threads_of_jobs(items: list[str], work: Any, workers: int, queued: bool) -> Iterator[dict[str, Any]]:
    return in_threads(items, work, 1)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (PermissionError(13, "Permission denied", "/home/x/.ray"), UsageError, "cannot write /home/x/.ray; set HOME"),
        (OSError("AF_UNIX path length cannot exceed 107 bytes"), UsageError, "set RAY_TMPDIR to a shorter path"),
        (RuntimeError("the current node timed out"), JobError, "the current node timed out; its logs are in"),
    ],
)
def test_what_keeps_ray_from_starting_comes_with_a_remedy(error: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says), _plain_errors():
        raise error


def test_a_ray_that_a_thread_started_outlives_it_and_ends_with_the_process() -> None:
    code = (
        "import threading, psutil\nfrom pipelines.stream import start_ray\n"
        "thread = threading.Thread(target=start_ray)\nthread.start()\nthread.join()\n"
        "import ray\n"
        "print(ray.get(ray.remote(lambda: 'alive').remote(), timeout=60))\n"
        "print(*[child.pid for child in psutil.Process().children(recursive=True)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    alive, processes = done.stdout.splitlines()
    assert alive == "alive"
    assert processes
    deadline = time.monotonic() + 20
    while left := [pid for pid in map(int, processes.split()) if psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
