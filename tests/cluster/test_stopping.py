"""What ends a run early: notices, bugs of one worker, and stores that fail; each leaves a run that can be resumed."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ray.train import TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.failure_handling import FailureDecision

import cluster.workers.ray_worker
from cluster.pretraining import pretrain
from cluster.runs.folder import RunFolder, newest_step
from cluster.samples.feed import Feed, StepBatch
from cluster.samples.pages import PageStore
from cluster.settings import PretrainSettings
from cluster.workers.ray_failures import Budgets
from pipelines.errors import JobError, UsageError
from tests.cluster.conftest import TINY
from tests.cluster.machines import Command

Run = Callable[..., PretrainSettings]
RETRY, RAISE = FailureDecision.RETRY, FailureDecision.RAISE
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def lost() -> TrainingFailedError:
    return WorkerGroupError("lost", {1: WorkerHealthCheckFailedError("lost", RuntimeError("gone"))})


def bug() -> TrainingFailedError:
    return WorkerGroupError("bug", {1: ValueError("a bug")})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.note("launch", "2 workers")
    return run


def test_losses_have_a_budget_that_a_checkpoint_fills_up(folder: RunFolder) -> None:
    budgets = Budgets(str(folder.path), max_losses=2, max_errors=0)
    assert [budgets.make_decision(lost()) for _ in range(2)] == [RETRY, RETRY]
    folder.checkpoints.make("step-00000004")
    assert [budgets.make_decision(lost()) for _ in range(3)] == [RETRY, RETRY, RAISE]
    assert "max_losses is 2" in folder.noted_in_attempt("error")[0]["text"]


def test_errors_have_a_budget_of_their_own(folder: RunFolder) -> None:
    budgets = Budgets(str(folder.path), max_losses=0, max_errors=1)
    folder.note("error", "ValueError: a bug", usage=False)
    assert budgets.make_decision(bug()) == RETRY
    folder.checkpoints.make("step-00000004")
    folder.note("error", "ValueError: a bug", usage=False)
    assert budgets.make_decision(bug()) == RAISE


def test_an_error_beside_a_lost_worker_is_a_loss(folder: RunFolder) -> None:
    folder.note("error", "RuntimeError: something that followed", usage=False)
    assert Budgets(str(folder.path), max_losses=1, max_errors=0).make_decision(lost()) == RETRY
    assert not folder.noted_in_attempt("error")


@pytest.mark.usefixtures("ray_session")
def test_a_bug_in_one_of_two_workers_ends_the_run(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: dict[str, Any]) -> None:
        build = Feed.__getitem__

        def fail_on_rank_1(self: Feed, step: int) -> StepBatch:
            if step == 5 and os.environ["RANK"] == "1":
                raise ZeroDivisionError("a bug in one worker")
            return build(self, step)

        Feed.__getitem__ = fail_on_rank_1  # type: ignore[method-assign]
        run_worker(config)

    run_worker = cluster.workers.ray_worker.run_worker
    monkeypatch.setattr(cluster.workers.ray_worker, "run_worker", broken)
    with pytest.raises(JobError, match=r"ZeroDivisionError: a bug in one worker .*--resume"):
        pretrain(tiny_run(tmp_path / "run", ray=True, workers=2, checkpoint_every=2))
    run = RunFolder(tmp_path / "run")
    assert [len(run.noted(kind)) for kind in ("start", "error", "again")] == [1, 1, 0]
    monkeypatch.undo()
    assert pretrain(tiny_run(tmp_path / "run"), resume=True).steps == 8


def started(settings: PretrainSettings, *arguments: object) -> Command:
    run = Path(settings.out)
    config = run.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    return Command(run, config, *arguments)


@pytest.mark.slow
def test_a_worker_told_to_end_saves_and_the_run_goes_on(tiny_run: Run, tmp_path: Path) -> None:
    settings = tiny_run(tmp_path / "run", ray=True, workers="1:2", steps=100_000, checkpoint_every=100_000)
    command = started(settings)
    command.wait_for(lambda line: line["step"] >= 5)
    family = psutil.Process(command.process.pid).children(recursive=True)
    workers = [child for child in family if "RayTrainWorker" in " ".join(child.cmdline())]
    told = time.time()
    workers[0].send_signal(signal.SIGTERM)
    after = command.wait_for(lambda line: line["restarts"] == 1)
    assert newest_step(RunFolder(command.run)) == after["step"] - 1
    assert command.events("checkpoint")[0]["time"] - told < settings.notice_s
    assert "sent SIGTERM to a worker" in command.events("leaving")[0]["text"]
    stopped = time.time()
    command.end(signal.SIGTERM, 143)
    assert time.time() - stopped < settings.notice_s
    assert command.events("end")[-1]["step"] == command.metrics()[-1]["step"]


def run_plainly(
    settings: PretrainSettings, *arguments: str, before: Callable[[], None]
) -> subprocess.CompletedProcess[str]:
    """`docformer pretrain` in one process, on which `before` is called first."""
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    command = [sys.executable, "-m", "cluster.cli", "pretrain", "--config", str(config), *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=240, check=False, preexec_fn=before)


def only_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    failed = [line for line in done.stderr.splitlines() if line.startswith("docformer pretrain:")]
    assert len(failed) == 1
    assert "Traceback" not in done.stderr
    return failed[0]


def test_a_store_turned_read_only_is_one_error(tiny_run: Run, tmp_path: Path) -> None:
    settings = tiny_run(tmp_path / "run", steps=4)
    pretrain(settings)
    settings = tiny_run(tmp_path / "run", steps=8)
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.chmod(0o555)

    def obey_permissions() -> None:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)

    try:
        line = only_line(run_plainly(settings, "--resume", before=obey_permissions), 1)
    finally:
        checkpoints.chmod(0o755)
    assert "Permission denied" in line
    assert "--resume" in line
    assert pretrain(settings, resume=True).steps == 8


@pytest.mark.parametrize("processes", [0, 1])
def test_a_shard_deleted_while_training_is_one_error(
    tiny_run: Run, tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    shard = next((corpus / "pages").glob("*.parquet"))
    settings = tiny_run(tmp_path / "run", corpus=str(corpus), steps=1000, feed_processes=processes, checkpoint_every=2)
    begin = PageStore.__init__

    def forgetful(self: PageStore, *arguments: Any) -> None:
        begin(self, *arguments)
        self._kept = 1

    def delete_after_step_3() -> None:
        metrics = Path(settings.out) / "metrics.jsonl"
        while not (metrics.exists() and '"step": 3' in metrics.read_text()):
            time.sleep(0.01)
        shard.rename(tmp_path / "kept.parquet")

    monkeypatch.setattr(PageStore, "__init__", forgetful)
    threading.Thread(target=delete_after_step_3, daemon=True).start()
    with pytest.raises(UsageError) as error:
        pretrain(settings)
    assert str(shard) in str(error.value)
    assert "\n" not in str(error.value)
    step = newest_step(RunFolder(settings.out))
    assert step is not None
    (tmp_path / "kept.parquet").rename(shard)
    more = tiny_run(tmp_path / "run", corpus=str(corpus), steps=step + 2)
    assert pretrain(more, resume=True).steps == step + 2


def test_a_resume_needs_neither_the_tokenizer_nor_the_t5_it_began_with(
    tiny_run: Run, tmp_path: Path, small_tokenizer: Path
) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {name: TINY[name] for name in ("d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers")}
    config = T5Config(**sizes, num_heads=2, vocab_size=400, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    shutil.copytree(small_tokenizer, tmp_path / "tokenizer")
    picture = {name: value for name, value in TINY.items() if name not in sizes}
    settings = tiny_run(
        tmp_path / "run", steps=4, init=str(tmp_path / "t5"), tokenizer=str(tmp_path / "tokenizer"), model=picture
    )
    pretrain(settings)
    shutil.rmtree(tmp_path / "t5")
    shutil.rmtree(tmp_path / "tokenizer")
    assert pretrain(settings.model_copy(update={"steps": 8}), resume=True).steps == 8
