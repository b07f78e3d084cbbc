"""Real training with a gradient that is no number, a rank that hangs, a disk that is full: the policy or one error."""

import errno
import json
import math
import os
import resource
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from cluster.checkpoints.checkpoint import Checkpoint
from cluster.checkpoints.shelf import complete
from cluster.cli import main
from cluster.pretraining import pretrain
from cluster.settings import PretrainSettings
from pipelines.errors import JobError
from tests.cluster.gang import train_together

Run = Callable[..., PretrainSettings]


def lines(run: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def training(run: Path) -> dict[int, dict[str, Any]]:
    return {line["step"]: line for line in lines(run) if line["split"] == "train"}


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in lines(run, "events.jsonl") if event["kind"] == kind]


def poison(step: int, rank: int = 0) -> None:
    """From now on, make the loss of `step` no number on one rank."""
    import cluster.training.loop as training

    take_step = training.take_step

    def poisoned(engine: Any, guard: Any, batch: Any, *rest: Any) -> Any:
        if batch.step != step or dist.get_rank() != rank:
            return take_step(engine, guard, batch, *rest)
        forward = engine.forward

        def broken(*arguments: Any) -> Any:
            out = forward(*arguments)
            out.loss = out.loss * math.nan
            return out

        engine.forward = broken
        try:
            return take_step(engine, guard, batch, *rest)
        finally:
            del engine.forward

    training.take_step = poisoned


@pytest.fixture
def poisoned_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    import cluster.training.loop as training

    def now(step: int) -> None:
        monkeypatch.setattr(training, "take_step", training.take_step)
        poison(step)

    return now


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return Checkpoint(run / "checkpoints" / f"step-{step:08d}").weights()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_skipped_update_leaves_everything_as_it_was(
    tiny_run: Run, tmp_path: Path, poisoned_in: Callable[[int], None], zero: int
) -> None:
    poisoned_in(3)
    run = tmp_path / "run"
    pretrain(tiny_run(run, on_nan="skip", checkpoint_every=1, keep_checkpoints=9, zero=zero))
    steps = training(run)
    assert steps[3]["loss"] is None
    assert [steps[step]["skipped"] for step in (2, 3, 8)] == [0, 6, 6]
    assert all(math.isfinite(steps[step]["loss"]) for step in (4, 8))
    trouble = events(run, "trouble")
    assert [(event["step"], event["action"], event["samples"]) for event in trouble] == [(3, "skip", [12, 17])]
    saved = [int(path.name[-1]) for path in complete(run / "checkpoints")]
    assert saved == [8, 7, 6, 5, 4, 2, 1], "a step in such trouble is not saved"
    index = Checkpoint(run / "checkpoints" / "step-00000008").index
    assert (index["updates"], index["skipped"]) == (7, 6)
    shutil.rmtree(run / "checkpoints" / "step-00000008")
    pretrain(tiny_run(run, on_nan="skip", checkpoint_every=1, keep_checkpoints=9, zero=zero), resume=True)
    assert Checkpoint(run / "checkpoints" / "step-00000008").index == index, "bit for bit, with what was left out"


def test_a_skip_is_the_same_at_any_number_of_workers_and_stage(
    tiny_run: Run, tmp_path: Path, poisoned_in: Callable[[int], None]
) -> None:
    poisoned_in(3)
    pretrain(tiny_run(tmp_path / "one", on_nan="skip"))
    runs = [tiny_run(tmp_path / f"two-{zero}", on_nan="skip", zero=zero) for zero in range(4)]
    train_together(runs, tmp_path, before=partial(poison, 3, rank=1))
    for run in runs:
        for step, line in training(tmp_path / "one").items():
            other = training(Path(run.out))[step]
            assert other["batch_digest"] == line["batch_digest"]
            assert (other["loss"] is None) == (step == 3)
            if step != 3:
                assert math.isclose(other["loss"], line["loss"], rel_tol=1e-3)


def test_a_rewind_goes_on_from_the_newest_checkpoint_without_the_batches_since(
    tiny_run: Run, tmp_path: Path, poisoned_in: Callable[[int], None]
) -> None:
    poisoned_in(7)
    run = tmp_path / "run"
    settings = tiny_run(run, on_nan="rewind", steps=9, learning_rate=3e-3)
    pretrain(settings)
    (trouble,) = events(run, "trouble")
    assert "back to the weights of step 4" in trouble["text"]
    assert trouble["samples"] == [4 * 6, 7 * 6 - 1]
    assert training(run)[8]["skipped"] == 18
    index = Checkpoint(complete(run / "checkpoints")[0]).index
    assert (index["step"], index["updates"], index["skipped"]) == (9, 6, 18)

    # The same steps, told to a run that only ever left those batches out.
    poisoned_in(5)
    poisoned_in(6)
    left_out = tmp_path / "left-out"
    pretrain(tiny_run(left_out, on_nan="skip", steps=9, learning_rate=3e-3))
    assert same(weights(run, 9), weights(left_out, 9))


def test_a_stop_is_one_error_and_the_run_goes_on_with_another_policy(
    tiny_run: Run, tmp_path: Path, poisoned_in: Callable[[int], None]
) -> None:
    poisoned_in(6)
    with pytest.raises(JobError, match="step 6: the loss is no number; go on with --resume --on-nan skip") as error:
        pretrain(tiny_run(tmp_path / "run"))
    assert "\n" not in str(error.value)
    with pytest.raises(JobError, match="trouble_limit = 0"):
        pretrain(tiny_run(tmp_path / "run", on_nan="skip", trouble_limit=0), resume=True)
    assert pretrain(tiny_run(tmp_path / "run", on_nan="skip"), resume=True).steps == 8


def test_a_loss_spike_is_noted_and_the_update_made(tiny_run: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(tiny_run(run, steps=6, spike_window=2, spike_loss_factor=1.0001, learning_rate=0.3, warmup_steps=0))
    spikes = events(run, "trouble")
    assert spikes
    assert {event["trouble"] for event in spikes} == {"spike"}
    assert Checkpoint(complete(run / "checkpoints")[0]).index["updates"] == 6


def hang(step: int, rank: int) -> None:
    import cluster.training.loop as training

    take_step = training.take_step

    def hanging(engine: Any, guard: Any, batch: Any, *rest: Any) -> Any:
        if batch.step == step and dist.get_rank() == rank:
            time.sleep(600)
        return take_step(engine, guard, batch, *rest)

    training.take_step = hanging


def test_a_rank_that_hangs_ends_the_run_with_the_stacks_of_all(tiny_run: Run, tmp_path: Path) -> None:
    settings = tiny_run(tmp_path / "run", hang_timeout_s=12, eval_every=100, checkpoint_every=2)
    started = time.monotonic()
    with pytest.raises((ProcessExitedException, ProcessRaisedException)):
        train_together([settings], tmp_path, before=partial(hang, 5, rank=1))
    assert time.monotonic() - started < 150
    stacks = {path.name: path.read_text() for path in (tmp_path / "run" / "stacks").iterdir()}
    assert set(stacks) == {"rank-0.txt", "rank-1.txt"}
    assert "hanging" in stacks["rank-1.txt"]
    assert "cluster/engine/" in stacks["rank-0.txt"]
    texts = [event["text"] for event in events(tmp_path / "run", "hang")]
    assert any("rank 1 hangs in step 5: nothing ended for hang_timeout_s = 12 s" in text for text in texts)
    train_together([tiny_run(tmp_path / "run")], tmp_path, workers=1)
    assert training(tmp_path / "run")[8]["world_size"] == 1


def small_files_only() -> None:
    """As on a full disk: no file of this process may grow as large as its part of a checkpoint."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))


@pytest.mark.parametrize("background", [True, False])
def test_a_disk_without_room_is_one_clear_error(tiny_run: Run, tmp_path: Path, background: bool) -> None:
    settings = tiny_run(tmp_path / "run", checkpoint_in_background=background)
    with pytest.raises(ProcessRaisedException, match="a checkpoint could not be written: File too large"):
        train_together([settings], tmp_path, before=small_files_only)
    assert not list((tmp_path / "run" / "checkpoints").iterdir()), "what was half written makes room again"
    train_together([settings], tmp_path, workers=1)
    assert len(complete(tmp_path / "run" / "checkpoints")) == 2


def test_a_store_that_takes_nothing_is_one_clear_error(tiny_run: Run, tmp_path: Path) -> None:
    def unwritable() -> None:
        (tmp_path / "run" / "checkpoints").rmdir()
        (tmp_path / "run" / "checkpoints").symlink_to("/proc")

    import cluster.training.loop as training

    make = training.CheckpointWriter

    class Broken(make):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            unwritable()
            super().__init__(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CheckpointWriter", Broken)
        with pytest.raises(JobError, match="a checkpoint could not be written") as error:
            pretrain(tiny_run(tmp_path / "run"))
    assert "\n" not in str(error.value)


def test_a_tokenizer_on_a_full_disk_names_its_folder_and_leaves_nothing(
    tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Any, out: Path, **__: Any) -> int:
        (out / "tokenizer.json").write_text("half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("model.tokenizer.train_tokenizer", full)
    out = tmp_path / "tok"
    assert main(["tokenizer", "train", str(small_corpus), "--out", str(out)]) == 2
    assert f"{out}: No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
