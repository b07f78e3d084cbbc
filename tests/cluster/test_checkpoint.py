"""A checkpoint is complete or absent: a process is killed at each step of its commit."""

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cluster.checkpoints.checkpoint as checkpoint
import cluster.checkpoints.writer as checkpoint_writer
from cluster.checkpoints.checkpoint import Checkpoint, DamagedError, newest_good
from cluster.checkpoints.shelf import DiskShelf, complete, shelf_of
from cluster.checkpoints.writer import CheckpointWriter
from cluster.engine.zero import Fragment
from pipelines.errors import JobError
from pipelines.folders.local import LocalFolder

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


def test_any_run_of_elements_is_read_across_fragments(tmp_path: Path) -> None:
    whole = {key: torch.arange(6.0) + 10 * place for place, key in enumerate(checkpoint.STATE)}
    cut = [
        Fragment("a", start, {key: values[start : start + length] for key, values in whole.items()})
        for start, length in ((0, 1), (1, 3), (4, 2))
    ]
    writer = CheckpointWriter(tmp_path / "checkpoints", tmp_path / "latest", {"a": (2, 3)}, Alone())  # type: ignore[arg-type]
    writer.begin(1, cut, {})
    writer.finish()
    found = Checkpoint(tmp_path / "checkpoints" / "step-00000001")
    for start in range(6):
        for length in range(1, 7 - start):
            read = found.read("a", start, length)
            assert all(torch.equal(read[key], values[start : start + length]) for key, values in whole.items())


def test_what_is_written_in_the_background_is_the_state_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, write = threading.Event(), checkpoint_writer.write_tensors

    def late(*args: Any) -> tuple[int, str]:
        assert trained.wait(60)
        return write(*args)

    monkeypatch.setattr(checkpoint_writer, "write_tensors", late)
    writer = CheckpointWriter(tmp_path / "checkpoints", tmp_path / "latest", SHAPES, Alone())  # type: ignore[arg-type]
    state = fragments(1.0)
    writer.begin(1, state, {})
    for fragment in state:
        for tensor in fragment.tensors.values():
            tensor.fill_(2.0)
    trained.set()
    writer.finish()
    found = Checkpoint(tmp_path / "checkpoints" / "step-00000001")
    assert all(values.eq(1).all() for values in found.weights().values())


def test_a_commit_that_fails_is_told_at_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DiskShelf, "commit", fail)
    writer = CheckpointWriter(tmp_path / "checkpoints", tmp_path / "latest", SHAPES, Alone())  # type: ignore[arg-type]
    writer.begin(1, fragments(1.0), {})
    assert writer._writing is not None
    writer._writing.result()
    writer.tell(writer.flags())
    assert writer._committing is not None
    writer._committing.exception()
    assert writer.flags().tolist() == [0, 1]
    with pytest.raises(JobError, match="No space left"):
        writer.tell(writer.flags())
    assert not list((tmp_path / "checkpoints").iterdir()), "room for the next try"


def test_what_a_kill_with_more_workers_left_at_this_step_is_no_part_of_it(tmp_path: Path) -> None:
    stray = tmp_path / "checkpoints" / "step-00000001.partial" / "rank-00007.safetensors"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"half")
    store(tmp_path, 1)
    names = {path.name for path in (tmp_path / "checkpoints" / "step-00000001").iterdir()}
    assert names == {"rank-00000.safetensors", "checkpoint.json"}


def test_a_checkpoint_that_is_half_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, 1, 2)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    shelf = shelf_of(tmp_path / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        shelf.remove(shelf.complete()[1])
    assert [path.name for path in shelf.complete()] == ["step-00000002"]


def test_a_checkpoint_is_synced_before_and_after_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append(f"to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    store(tmp_path, 1)
    named = events.index("to step-00000001")
    assert events[named - 2 : named + 2] == [
        "to checkpoint.json",
        "step-00000001.partial",
        events[named],
        "checkpoints",
    ]
    assert events.index("to rank-00000.safetensors") < named


def test_a_disk_that_cannot_be_read_is_no_damaged_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, 1, 2)

    def fail(*_: Any) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalFolder, "sha256", fail)
    with pytest.raises(JobError, match="step-00000002: cannot be read: Input/output error"):
        newest_good(tmp_path / "checkpoints", Alone())  # type: ignore[arg-type]
    assert [path.name[-1] for path in complete(tmp_path / "checkpoints")] == ["2", "1"]


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
