"""Checkpoints in an object store: complete or absent through kills, verified on read, and enough to go on from."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import pipelines.folders.store as store_folder
from cluster.checkpoints.checkpoint import newest_good
from cluster.checkpoints.shelf import complete
from cluster.checkpoints.writer import CheckpointWriter
from cluster.dry_run import dry_run
from cluster.pretraining import pretrain
from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings
from pipelines.errors import JobError, UsageError
from pipelines.folders.address import folder_of
from pipelines.folders.store import StoreFolder
from tests.cluster.test_checkpoint import SHAPES, Alone, fragments
from tests.stores import s3_bucket

Run = Callable[..., PretrainSettings]


@pytest.fixture
def bucket() -> Iterator[str]:
    with s3_bucket("checkpoints") as address:
        yield address


def store(place: str, folder: Path, *steps: int, **options: Any) -> None:
    writer = CheckpointWriter(place, folder / "latest", SHAPES, Alone(), **options)  # type: ignore[arg-type]
    for step in steps:
        writer.begin(step, fragments(float(step)), {"seed": 1})
    writer.finish()
    writer.close()


def names(place: str) -> list[str]:
    return [checkpoint.name for checkpoint in complete(place)]


def test_what_is_read_is_what_was_written_and_the_newest_are_kept(bucket: str, tmp_path: Path) -> None:
    place = f"{bucket}/kept"
    store(place, tmp_path, 2, 3, 4, 5, keep=1, keep_every=3)
    assert names(place) == ["step-00000005", "step-00000003"]
    assert folder_of(place).folders() == ["step-00000003", "step-00000005"], "nothing is left of the others"
    assert (tmp_path / "latest").read_text() == "step-00000005\n"
    found, complaints = newest_good(place)
    assert found is not None
    assert (found.step, found.index["seed"], complaints) == (5, 1, [])
    assert {name: value.tolist() for name, value in found.read("a", 3, 2).items()}["weight"] == [5.0, 5.0]
    assert {name: tuple(value.shape) for name, value in found.weights().items()} == SHAPES


def killed_at(place: str, folder: Path, call: int) -> None:
    """Store step 3, in a process that is killed at its `call`-th word with the store."""
    made = 0

    def count() -> None:
        nonlocal made
        made += 1
        if made == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def counting(name: str) -> None:
        original = getattr(StoreFolder, name)

        def counted(self: StoreFolder, *arguments: Any) -> Any:
            count()
            return original(self, *arguments)

        setattr(StoreFolder, name, counted)

    upload = StoreFolder._upload

    def in_pieces(self: StoreFolder, name: str, piece: Callable[[], Any]) -> None:
        def counted() -> Any:
            count()
            return piece()

        upload(self, name, counted)

    StoreFolder._upload = in_pieces  # type: ignore[method-assign]
    for name in ("remove", "remove_folder"):
        counting(name)
    store(place, folder, 3)


def test_a_kill_at_any_word_with_the_store_leaves_a_good_checkpoint(bucket: str, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    seen = set()
    for call in range(1, 100):
        place = f"{bucket}/killed-{call}"
        store(place, tmp_path, 1, 2, keep=2)
        process = processes.Process(target=killed_at, args=(place, tmp_path, call))
        process.start()
        process.join()
        found, complaints = newest_good(place)
        assert found is not None
        assert not complaints
        assert torch.equal(found.weights()["b"], torch.full((4,), float(found.step)))
        seen.add(found.step)
        store(place, tmp_path, 3)  # the run goes on and comes by the same step again
        assert names(place) == ["step-00000003"]
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert seen == {2, 3}
    assert call > 6


@pytest.mark.parametrize("name", ["rank-00000.safetensors", "checkpoint.json"])
def test_a_flipped_byte_is_found_and_named(bucket: str, tmp_path: Path, name: str) -> None:
    place = f"{bucket}/flipped-{name}"
    store(place, tmp_path, 1, 2, keep=2)
    newest = folder_of(place) / "step-00000002"
    data = bytearray(newest.read(name))
    data[data.index(b'"seed": 1') + 8 if name.endswith("json") else len(data) - 3] ^= 1
    newest.write(name, bytes(data))
    found, complaints = newest_good(place, Alone())  # type: ignore[arg-type]
    assert found is not None
    assert found.step == 1
    assert len(complaints) == 1
    assert f"{newest}/{name}" in complaints[0]
    assert names(place) == ["step-00000001"]
    assert "rank-00000.safetensors" in newest.names(), "set aside, not deleted"
    (newest / "").remove("rank-00000.safetensors")
    store(place, tmp_path, 2, keep=2)
    assert names(place) == ["step-00000002", "step-00000001"]


def test_a_run_goes_on_from_the_store_also_when_its_folder_is_lost(bucket: str, tiny_run: Run, tmp_path: Path) -> None:
    place, run = f"{bucket}/run", RunFolder(tmp_path / "run")
    settings = tiny_run(run.path, checkpoint_store=place, checkpoint_every=2)

    def weights() -> dict[str, torch.Tensor]:
        checkpoint, complaints = newest_good(place)
        assert checkpoint is not None
        assert not complaints
        return checkpoint.weights()

    def taken_back() -> None:
        (folder_of(place) / "step-00000008").remove("checkpoint.json")

    def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(left[name], right[name]) for name in left)

    pretrain(settings)
    straight = weights()
    assert names(place) == ["step-00000008", "step-00000006"]
    assert not (run.path / "checkpoints").exists()
    assert (run.path / "latest").read_text() == "step-00000008\n"
    with pytest.raises(UsageError, match=f"{place} already holds a run; add --resume"):
        pretrain(tiny_run(tmp_path / "other", checkpoint_store=place))
    with pytest.raises(UsageError, match="checkpoint_store was"):
        pretrain(tiny_run(run.path, checkpoint_store=f"{bucket}/elsewhere"), resume=True)

    taken_back()
    pretrain(settings, resume=True)
    assert same(weights(), straight)
    taken_back()
    shutil.rmtree(run.path)
    with pytest.raises(UsageError, match="seed was 0 and is 1"):
        pretrain(settings.model_copy(update={"seed": 1}), resume=True)
    pretrain(settings, resume=True)
    assert "goes on after step 6" in run.noted("start")[0]["text"]
    assert same(weights(), straight)
    assert folder_of(place).folders() == ["step-00000006", "step-00000008"]


def test_a_store_that_goes_away_is_one_error(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_folder, "client", partial(store_folder.client, attempts=1))
    with s3_bucket("short-lived") as address:
        place = f"{address}/run"
        settings = tiny_run(tmp_path / "run", checkpoint_store=place, steps=2)
        pretrain(settings)
    with pytest.raises(JobError, match=f"{place}: a checkpoint could not be written"):
        store(place, tmp_path, 3)
    with pytest.raises(UsageError, match=f"{place}: cannot be used") as error:
        pretrain(settings.model_copy(update={"steps": 4}), resume=True)
    assert "\n" not in str(error.value)


def test_a_dry_run_leaves_the_store_and_the_trackers_alone(
    bucket: str, tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder_of(f"{bucket}/tried")
    monkeypatch.setitem(sys.modules, "wandb", None)  # to begin a run there would fail
    trial = tiny_run(tmp_path / "run", checkpoint_store=place.address, wandb_project="pages", dry_run=True)
    dry_run(trial)
    assert place.empty()
    place.write_text("facts.json", "those of a run that is there")
    assert dry_run(trial)["micro_batch_pages"] == 2
    assert place.names() == ["facts.json"]
