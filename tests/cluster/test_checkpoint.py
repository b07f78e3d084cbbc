"""A checkpoint is complete or absent: a process is killed at each step of its commit."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cluster.checkpoints.checkpoint as checkpoint
import cluster.checkpoints.writer as checkpoint_writer
from cluster.checkpoints.checkpoint import Checkpoint, DamagedError, newest_good
from cluster.checkpoints.shelf import DiskShelf, complete
from cluster.checkpoints.writer import CheckpointWriter
from cluster.engine.zero import Fragment
from pipelines.errors import JobError

SHAPES = {"a": (2, 3), "b": (4,)}


class Alone:
    """The exchange of a single rank."""

    rank, world_size = 0, 1

    def all(self, value: Any) -> list[Any]:
        return [value]


def fragments(value: float) -> list[Fragment]:
    return [
        Fragment(name, start, {key: torch.full((length,), value) for key in checkpoint.STATE})
        for name, start, length in (("a", 0, 4), ("a", 4, 2), ("b", 0, 4))
    ]


def store(run: Path, *steps: int, keep: int = 2, **options: Any) -> None:
    writer = CheckpointWriter(run / "checkpoints", run / "latest", SHAPES, Alone(), keep=keep, **options)  # type: ignore[arg-type]
    for step in steps:
        writer.begin(step, fragments(float(step)), {"seed": 1})
    writer.finish()
    writer.close()


def killed_in(call: int, work: Callable[[], None]) -> bool:
    """Run `work` in a process that is killed just before its `call`-th step of the commit; whether it was."""
    child = os.fork()
    if child == 0:
        made = 0

        def counting(original: Any) -> Any:
            def step(*args: Any, **kwargs: Any) -> Any:
                nonlocal made
                made += 1
                if made == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **kwargs)

            return step

        for module, name in (
            *((checkpoint_writer, name) for name in ("write_tensors", "write_text")),
            *((Path, name) for name in ("mkdir", "rename", "open")),
            (os, "fsync"),
            (shutil, "rmtree"),
            (hashlib, "sha256"),
        ):
            setattr(module, name, counting(getattr(module, name)))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    store(tmp_path, 7)
    found, complaints = newest_good(tmp_path / "checkpoints")
    assert found is not None
    assert (found.step, found.index["seed"], complaints) == (7, 1, [])
    across = found.read("a", 3, 2)
    assert set(across) == {"weight", "exp_avg", "exp_avg_sq"}
    assert all(torch.equal(value, torch.full((2,), 7.0)) for value in across.values())
    assert {name: tuple(value.shape) for name, value in found.weights().items()} == SHAPES
    assert (tmp_path / "latest").read_text() == "step-00000007\n"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store(tmp_path, 1, 2, 3, 4)
    assert [path.name for path in complete(tmp_path / "checkpoints")] == ["step-00000004", "step-00000003"]
    store(tmp_path / "sparse", 2, 3, 4, 5, 6, 7, keep=1, keep_every=3)
    assert [path.name[-1] for path in complete(tmp_path / "sparse" / "checkpoints")] == ["7", "6", "3"]


def test_an_old_one_that_cannot_be_deleted_costs_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(shelf: Any, old: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(DiskShelf, "remove", denied)
    hints: list[str] = []
    store(tmp_path, 1, 2, 3, 4, hint=hints.append)
    assert [path.name[-1] for path in complete(tmp_path / "checkpoints")] == ["4", "3", "2", "1"]
    assert ["step-00000001" in hints[0], "step-00000002" in hints[1], len(hints)] == [True, True, 2]
    assert "could not be deleted: Permission denied" in hints[0]


def test_a_kill_at_any_step_of_the_commit_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    store(tmp_path / "start", 1, 2)
    steps_seen = set()
    for call in range(1, 200):
        run = tmp_path / f"killed-{call}"
        shutil.copytree(tmp_path / "start", run)
        killed = killed_in(call, lambda run=run: store(run, 3))  # type: ignore[misc]
        found, complaints = newest_good(run / "checkpoints")
        assert found is not None
        assert not complaints
        assert found.step in (2, 3)
        assert torch.equal(found.weights()["b"], torch.full((4,), float(found.step)))
        steps_seen.add(found.step)
        store(run, 3)  # the run goes on and comes by the same step again
        assert newest_good(run / "checkpoints")[0].step == 3  # type: ignore[union-attr]
        if not killed:
            break
    assert steps_seen == {2, 3}
    assert call > 10


@pytest.mark.parametrize("name", ["rank-00000.safetensors", "checkpoint.json"])
def test_a_flipped_byte_is_found_and_named(tmp_path: Path, name: str) -> None:
    store(tmp_path, 1, 2)
    file = tmp_path / "checkpoints" / "step-00000002" / name
    data = bytearray(file.read_bytes())
    place = data.index(b'"seed": 1') + 8 if name.endswith("json") else len(data) - 3
    data[place] ^= 1
    file.write_bytes(bytes(data))
    found, complaints = newest_good(tmp_path / "checkpoints", Alone())  # type: ignore[arg-type]
    assert found is not None
    assert found.step == 1
    assert len(complaints) == 1
    assert str(file) in complaints[0]
    assert (tmp_path / "checkpoints" / "step-00000002.damaged").is_dir(), "set aside, not deleted"


def test_a_missing_file_and_another_format_are_refused(tmp_path: Path) -> None:
    store(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    index = json.loads((folder / "checkpoint.json").read_text())
    (folder / "rank-00000.safetensors").unlink()
    with pytest.raises(DamagedError, match="missing"):
        Checkpoint(folder).verify()
    index["format"] = 99
    index.pop("digest")
    (folder / "checkpoint.json").write_text(json.dumps({**index, "digest": checkpoint._digest(index)}))
    with pytest.raises(DamagedError, match="another format"):
        Checkpoint(folder)


def test_fragments_that_leave_a_gap_are_refused(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path / "checkpoints", tmp_path / "latest", SHAPES, Alone())  # type: ignore[arg-type]
    writer.begin(1, fragments(1.0)[1:], {})
    with pytest.raises(JobError, match="do not make up"):
        writer.finish()
    assert newest_good(tmp_path / "checkpoints") == (None, [])


@pytest.mark.parametrize("background", [True, False])
def test_a_rank_that_holds_nothing_saves_nothing(tmp_path: Path, background: bool) -> None:
    """As all ranks but the first at ZeRO stage 0."""
    place, latest = tmp_path / "checkpoints", tmp_path / "latest"
    writer = CheckpointWriter(place, latest, {}, Alone(), background=background)  # type: ignore[arg-type]
    writer.reserve([])
    writer.begin(1, [], {})
    writer.finish()
    found, complaints = newest_good(tmp_path / "checkpoints")
    assert found is not None
    assert not complaints
