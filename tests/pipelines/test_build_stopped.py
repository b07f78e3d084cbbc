"""SIGTERM ends a build as SIGINT does: at once, with how to go on, and the exit code that says so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import main
from pipelines.building import build as building
from pipelines.building.output import BUILD
from pipelines.stopping import Terminated, ours_kept, sigterm_raises
from tests.pipelines.hostile import TEXT, plain


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("begun", [True, False])
def test_a_stopped_build_says_how_to_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
    begun: bool,
) -> None:
    def build(sources: list[str], out: str, *_: Any, **__: Any) -> None:
        if begun:
            Path(out).mkdir()
            (Path(out) / BUILD).write_text('{"settings": {}}')
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(building, "build", build)
    # A test run in a shell's background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    usual = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["corpus", "build", str(tmp_path), "--out", str(tmp_path / "out")]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert number.name in error
    assert ("--resume" in error) == begun
    assert ("nothing was written" in error) != begun
    assert signal.getsignal(signal.SIGTERM) == usual


def test_what_ray_puts_in_place_of_our_handler_does_not_last() -> None:
    """It ends with exit code 15, and once Ray's core is up with a dump of the stack."""

    def leave(*_: Any) -> None:
        sys.exit(signal.SIGTERM)

    def start_and_leave() -> None:
        with ours_kept():
            signal.signal(signal.SIGTERM, leave)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with sigterm_raises(), pytest.raises(Terminated):
        start_and_leave()
    with sigterm_raises():
        ours = signal.getsignal(signal.SIGTERM)
        with ours_kept():
            signal.signal(signal.SIGTERM, leave)
        assert signal.getsignal(signal.SIGTERM) is ours


@pytest.mark.slow
@pytest.mark.parametrize("begun", [True, False])
def test_a_build_under_ray_is_stopped(tmp_path: Path, begun: bool) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number}.pdf").write_bytes(plain([f"{TEXT} {number} {page}" for page in range(8)]))
    words = ["corpus", "build", tmp_path / "in", "--out", tmp_path / "out", "--ocr", "text-layer", "--workers", "1"]
    command = [sys.executable, "-m", "cluster.cli", *map(str, words), "--image-long-side", "1500", "--shard-pages", "4"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while begun and not (tmp_path / "out" / BUILD).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0 if begun else 3)
        process.terminate()
        _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "SIGTERM received" not in error
    assert ("--resume" in error) == begun
