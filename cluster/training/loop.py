"""The training loop of one worker, and how it starts, resumes, stops and ends; it knows nothing of what launched it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cluster.checkpoints.checkpoint import newest_good
from cluster.checkpoints.writer import CheckpointWriter
from cluster.engine.exchange import Exchange
from cluster.export import export_checkpoint
from cluster.runs.folder import LOCK_WAIT_S, RunFolder
from cluster.samples.feed import Feed, StepBatch
from cluster.settings import PretrainSettings
from cluster.training.assemble import Parts, assemble
from cluster.training.evaluation import Evaluation
from cluster.training.guard import Trouble
from cluster.training.largest_step import LargestStep, advice
from cluster.training.memory import is_out_of_memory
from cluster.training.notices import Notices
from cluster.training.profile_window import ProfileWindow
from cluster.training.record import Record
from cluster.training.state import TrainingState
from cluster.training.step import take_step
from cluster.training.watchdog import Watchdog
from pipelines.corpus.shards import write_text
from pipelines.errors import JobError


@dataclass(frozen=True)
class Outcome:
    """How a start ended.

    Attributes:
        step: optimizer steps done.
        signal: that stopped the run early.
        leaves: whether it ended, after a checkpoint, because the machine of a worker goes away.
    """

    step: int
    signal: str | None = None
    leaves: bool = False


def train(settings: PretrainSettings, leaving: Callable[[], bool] = lambda: False) -> Outcome:
    """Train as one of a run's workers, from its newest good checkpoint if it has one; ends with the model exported.

    torch.distributed must be up, the run's folder prepared (`cluster.runs.resume.prepare`). `leaving` says whether this
    worker's machine goes away: all workers then save and end.

    Raises:
        JobError: a step is in trouble and the policy is to stop, or a checkpoint cannot be written.
        UsageError: the largest step does not fit in memory, or an input turned out to be bad.
    """
    run, exchange = RunFolder(settings.out), Exchange()
    lock = run.lock(LOCK_WAIT_S) if exchange.rank == 0 else None
    watchdog = Watchdog(
        run.path / "stacks", exchange.rank, settings.hang_timeout_s, lambda text: run.note("hang", text)
    )
    try:
        worker = _Worker(settings, run, exchange, watchdog, leaving)
        try:
            return worker.run_to_end()
        finally:
            worker.close()
    finally:
        watchdog.close()
        if lock is not None:
            lock.close()


class _Worker:
    def __init__(
        self,
        settings: PretrainSettings,
        run: RunFolder,
        exchange: Exchange,
        watchdog: Watchdog,
        leaving: Callable[[], bool],
    ) -> None:
        self.settings, self.run, self.exchange, self.watchdog = settings, run, exchange, watchdog
        self.first_rank = exchange.rank == 0
        self.notices = Notices(run, self.first_rank, leaving, settings.checkpoint_every_s)
        self.parts: Parts = assemble(settings)
        self.state = TrainingState(settings, self.parts, exchange)
        self.writer = CheckpointWriter(
            run.checkpoints,
            run.latest,
            self.state.shapes,
            exchange,
            keep=settings.keep_checkpoints,
            keep_every=settings.keep_every,
            background=settings.checkpoint_in_background,
            committed=lambda facts: self.record.committed(facts),
            hint=lambda text: self.record.note("hint", text),
        )
        self.writer.reserve(self.state.engine.fragments())
        self.micro_batch = self._pages_of_a_forward()
        self.feed = Feed(
            self.parts.store,
            self.parts.order,
            self.parts.builder,
            seed=settings.seed,
            global_batch=settings.global_batch_pages,
            micro_batch=self.micro_batch,
            rank=exchange.rank,
            world_size=exchange.world_size,
        )
        self.profile = ProfileWindow(settings.profile_steps, run.path / "profile", exchange.rank)
        self._load_newest()
        self.record = Record(run, settings, exchange, self.state, self.state.step)
        self.saved_step = self.state.step or -1

    def _pages_of_a_forward(self) -> int:
        """As set, or as many as fit; on a GPU, where it takes a second, a set number is tried before real data."""
        asked, engine = self.settings.micro_batch_pages, self.state.engine
        if asked != "auto" and not self.settings.dry_run and engine.device.type == "cpu":
            return asked
        self.watchdog.beat("a step on the largest shape")
        largest = LargestStep(engine, self.settings, self.parts.config, self.exchange)
        trial = largest.largest() if asked == "auto" else largest.check(asked)
        if self.first_rank:
            self.run.note("largest", str(trial), **trial.as_dict())
        if largest.interrupted:
            self.state = TrainingState(self.settings, self.parts, self.exchange)
        return trial.pages if asked == "auto" else asked

    def _load_newest(self) -> None:
        self.watchdog.beat("loading the newest checkpoint")
        if self.first_rank:
            self.run.clear()
        checkpoint, complaints = newest_good(self.run.checkpoints, self.exchange)
        if checkpoint is not None:
            self.state.load(checkpoint)
        elif complaints and self.settings.init is not None:  # they were thought to make its weights needless
            self.state = TrainingState(self.settings, self.parts, self.exchange)
        if self.first_rank:
            for complaint in complaints:
                self.run.note("damaged", f"{complaint}; an older checkpoint is used")
            if checkpoint is not None:
                write_text(self.run.latest, checkpoint.folder.name + "\n")
            if not self.run.tokenizer.exists():
                whole = self.run.tokenizer.with_name("tokenizer.partial")
                self.parts.tokenizer.save_pretrained(whole)
                whole.rename(self.run.tokenizer)

    def run_to_end(self) -> Outcome:
        settings, state = self.settings, self.state
        if settings.dry_run:
            return Outcome(0)
        evaluation = self._evaluation()
        if state.step == 0:
            self._evaluate(evaluation, epoch=0)
        asked = self.notices.read(self.exchange.sum(self.notices.flags()))
        until = state.step if asked.end else settings.steps
        batches = self.feed.steps(state.step + 1, until, settings.feed_processes, state.engine.device)
        for batch, wait in _timed(batches):
            self.watchdog.beat(f"step {batch.step}")
            sums = self.exchange.sum(torch.cat([batch.counts, self.notices.flags(), self.writer.flags()]))
            asked = self.notices.read(sums[4:7])
            self.writer.tell(sums[7:])
            sound = self._step(batch, sums[:4], wait)
            last = state.step == settings.steps
            if last or state.step % settings.eval_every == 0:
                self._evaluate(evaluation, batch.epoch)
            if last or asked.end or (sound and (asked.save or state.step % settings.checkpoint_every == 0)):
                self._save()
            if asked.end:
                break
            self.watchdog.beat(f"the data of step {batch.step + 1}")
        self._finish()
        done = state.step == settings.steps
        return Outcome(state.step) if done else Outcome(state.step, asked.stop, asked.leave and not asked.stop)

    def _finish(self) -> None:
        """Have the last checkpoint complete, and at the run's end its model exported."""
        self.watchdog.beat("the last checkpoint")
        done = self.state.step >= self.settings.steps
        if not done and self.saved_step != self.state.step:
            self._save()
        self.writer.finish()
        if done and self.first_rank:
            checkpoint, _ = newest_good(self.run.checkpoints)
            if checkpoint is not None:
                export_checkpoint(checkpoint, self.run.tokenizer, self.run.model)
        self.exchange.all(None)

    def close(self) -> None:
        """End what runs in the background."""
        self.profile.close()
        self.writer.close()
        self.record.close()

    def _step(self, batch: StepBatch, counts: Tensor, wait: float) -> bool:
        """One optimizer step and its line in metrics.jsonl; returns whether the weights may be trusted after it."""
        settings, state = self.settings, self.state
        started = time.monotonic() - wait
        self.profile.before(batch.step)
        totals = counts.tolist()
        try:
            result = take_step(state.engine, state.guard, batch, totals[:3], settings, self.parts.config, self.exchange)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            what = advice(settings, self.exchange.world_size, "a lower micro_batch_pages (auto finds one)")
            raise JobError(
                f"step {batch.step}: out of memory, {self.micro_batch} pages a forward; set {what}"
            ) from error
        self.profile.after(batch.step)
        if result.trouble is not None:
            self._answer(batch, result.trouble)
        state.took(batch.step, result)
        if batch.step % settings.log_every == 0 or batch.step == settings.steps or result.trouble is not None:
            self.record.step(batch, result, totals, wait, time.monotonic() - started)
        return result.trouble is None or result.trouble.kind != "nan"

    def _answer(self, batch: StepBatch, trouble: Trouble) -> None:
        """Put a step in trouble on record, and rewind or stop where the policy says so."""
        first, size = batch.step, self.settings.global_batch_pages
        done = {"record": "the update is made", "stop": "stopped"}.get(trouble.action, "the update is left out")
        if trouble.action == "rewind":
            self.writer.finish()
            checkpoint, _ = newest_good(self.run.checkpoints, self.exchange)
            if checkpoint is not None:
                self.state.load(checkpoint, rewound=True)
                first = checkpoint.step + 1
                done = f"back to the weights of step {checkpoint.step}; the batches since then are left out"
        self.record.note(
            "trouble",
            f"step {batch.step}: {trouble.text}; {done}",
            trouble=trouble.kind,
            action=trouble.action,
            step=batch.step,
            samples=[(first - 1) * size, batch.step * size - 1],
        )
        if trouble.action == "stop":
            raise JobError(
                f"step {batch.step}: {trouble.text}; go on with --resume --on-{trouble.kind} skip or rewind and a "
                "--trouble-limit that allows it, or start anew with a lower learning_rate or more warmup_steps"
            )

    def _evaluation(self) -> Evaluation | None:
        """What scores the run on its held-out pages; None where there are none."""
        if not self.parts.store.index.held_out_pages:
            return None
        return Evaluation(
            self.parts.store,
            self.parts.order,
            self.parts.builder,
            seed=self.settings.seed,
            pages=self.settings.eval_pages,
            micro_batch=self.micro_batch,
            exchange=self.exchange,
        )

    def _evaluate(self, evaluation: Evaluation | None, epoch: int) -> None:
        if evaluation is not None:
            self.watchdog.beat("an evaluation")
            self.record.scores(epoch, evaluation(self.state.engine))

    def _save(self) -> None:
        self.watchdog.beat("a checkpoint")
        self.writer.begin(self.state.step, self.state.engine.fragments(), self.state.facts())
        self.saved_step = self.state.step
        self.notices.saved()


def _timed(batches: Iterator[StepBatch]) -> Iterator[tuple[StepBatch, float]]:
    """Each batch with the seconds that its caller waited for it."""
    while True:
        started = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.monotonic() - started
