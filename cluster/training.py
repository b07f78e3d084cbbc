"""The training loop of one worker, and how it starts, resumes, stops and ends; it knows nothing of what launched it."""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from signal import Signals
from typing import Any

import torch
from torch import Tensor

from cluster.assemble import Parts, assemble, new_model
from cluster.checkpoint import newest_good, save
from cluster.engine import Engine, EngineSettings
from cluster.evaluation import Evaluation
from cluster.exchange import Exchange
from cluster.export import export_checkpoint
from cluster.feed import Feed, StepBatch
from cluster.metrics import MetricsLog
from cluster.run_folder import LOCK_WAIT_S, RunFolder
from cluster.schedule import learning_rate
from cluster.settings import PretrainSettings
from model.flops import mfu, step_flops
from pipelines.errors import JobError
from pipelines.shards import write_text

LOSSES = ("loss", "loss_dlm", "loss_line", "loss_grid")


@dataclass(frozen=True)
class Outcome:
    """How a start ended: optimizer steps done, and the signal that stopped it early, if one did."""

    step: int
    signal: str | None


def train(settings: PretrainSettings) -> Outcome:
    """Train as one of a run's workers, from its newest good checkpoint if it has one; ends with the model exported.

    torch.distributed must be up and the run's folder prepared (`run_folder.prepare`).

    Raises:
        JobError: the loss is no number, or an input turned out to be bad.
    """
    worker = _Worker(settings)
    try:
        return worker.run_to_end()
    finally:
        worker.close()


class _Worker:
    def __init__(self, settings: PretrainSettings) -> None:
        self.settings, self.run, self.exchange = settings, RunFolder(settings.out), Exchange()
        self.first_rank = self.exchange.rank == 0
        self._lock = self.run.lock(LOCK_WAIT_S) if self.first_rank else None
        self.parts: Parts = assemble(settings)
        parts, world_size = self.parts, self.exchange.world_size
        self.feed = Feed(
            parts.store,
            parts.order,
            parts.builder,
            seed=settings.seed,
            global_batch=settings.global_batch_pages,
            micro_batch=settings.micro_batch_pages,
            rank=self.exchange.rank,
            world_size=world_size,
        )
        model, origin = new_model(settings, parts)
        self.shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and torch.cuda.is_available())
        self.engine = Engine(
            model,
            EngineSettings(
                zero=settings.zero,
                precision="bf16" if self.bf16 else "fp32",
                micro_batch=settings.micro_batch_pages,
                micro_steps=self.feed.micro_steps,
                weight_decay=settings.weight_decay,
                beta2=settings.beta2,
                gradient_clip=settings.gradient_clip,
            ),
        )
        self.metrics = MetricsLog(self.run.metrics)
        self.step = self._load_newest()
        self.restarts = len(self.run.noted("start"))
        self.exchange.all(None)  # every rank has counted the earlier starts
        if self.first_rank:
            self.metrics.cut_back(self.step or -1)  # step 0 is evaluated anew
            if not self.run.tokenizer.exists():
                parts.tokenizer.save_pretrained(self.run.tokenizer)
            text = f"{origin}" if self.step == 0 else f"goes on after step {self.step}"
            self.run.note("start", text, step=self.step, world_size=world_size, zero=settings.zero)
        self.saved_step = self.step or -1

    def _load_newest(self) -> int:
        checkpoint, complaints = newest_good(self.run.checkpoints, self.exchange)
        if self.first_rank:
            for complaint in complaints:
                self.run.note("damaged", f"{complaint}; an older checkpoint is used")
        if checkpoint is None:
            return 0
        if self.first_rank:
            write_text(self.run.path / "latest", checkpoint.path.name + "\n")
        self.engine.load(checkpoint.read, checkpoint.step)
        return checkpoint.step

    def run_to_end(self) -> Outcome:
        settings = self.settings
        evaluation = Evaluation(
            self.parts.store,
            self.parts.order,
            self.parts.builder,
            seed=settings.seed,
            pages=settings.eval_pages,
            micro_batch=settings.micro_batch_pages,
            exchange=self.exchange,
        )
        if self.step == 0:
            self._evaluate(evaluation, epoch=0)
        signal = self._stop_asked(self.exchange.sum(self._stop_flag()))
        batches = self.feed.steps(self.step + 1, settings.steps, settings.feed_processes) if not signal else iter(())
        for batch, wait in _timed(batches):
            started = time.monotonic() - wait
            counts = self.exchange.sum(torch.cat([batch.counts, self._stop_flag()]))
            self._update(batch, counts, wait, started)
            self.step = batch.step
            last = self.step == settings.steps
            if last or self.step % settings.eval_every == 0:
                self._evaluate(evaluation, batch.epoch)
            signal = None if last else self._stop_asked(counts[4:])
            if last or signal or self.step % settings.checkpoint_every == 0:
                self._save()
            if signal:
                break
        if self.step < settings.steps:
            if self.saved_step != self.step:
                self._save()
        elif self.first_rank:
            checkpoint, _ = newest_good(self.run.checkpoints)
            if checkpoint is not None:
                export_checkpoint(checkpoint, self.run.tokenizer, self.run.model)
        self.exchange.all(None)
        return Outcome(self.step, signal)

    def close(self) -> None:
        """Let go of the run's folder."""
        if self._lock is not None:
            self._lock.close()

    def _stop_flag(self) -> Tensor:
        """float64 [1], the number of the signal that asked the run to stop: rank 0 knows it, a sum tells all."""
        asked = self.run.stop.read_text().strip() if self.first_rank and self.run.stop.exists() else ""
        return torch.tensor([float(Signals[asked]) if asked else 0.0], dtype=torch.float64)

    @staticmethod
    def _stop_asked(flag: Tensor) -> str | None:
        number = int(flag)
        return Signals(number).name if number else None

    def _update(self, batch: StepBatch, counts: Tensor, wait: float, started: float) -> None:
        """One optimizer step, and its line in metrics.jsonl."""
        settings, engine = self.settings, self.engine
        rate = learning_rate(
            batch.step,
            settings.steps,
            settings.learning_rate,
            settings.warmup_steps,
            settings.final_learning_rate_share,
        )
        denominators = counts[:3].float().to(engine.device)
        sums = torch.zeros(len(LOSSES) + 2, dtype=torch.float64, device=engine.device)
        for micro_batch in batch.micro_batches:
            inputs = {key: value.to(engine.device, non_blocking=True) for key, value in micro_batch.items()}
            out = engine.forward(inputs, denominators)
            engine.backward(out.loss)
            engine.step(rate)
            sums += _seen(out, inputs)
        norm = engine.gradient_norm()
        if not math.isfinite(norm):
            raise JobError(
                f"step {batch.step}: the gradient's norm is {norm}; lower learning_rate (now {rate:.3g}) or raise "
                "warmup_steps, and go on from the last checkpoint with --resume"
            )
        if batch.step % settings.log_every and batch.step != settings.steps:
            return
        flops = sum(
            pages * step_flops(self.parts.config, text, targets, pairs=settings.objectives.line_pairs).total
            for pages, text, targets in batch.shapes
        )
        mine = torch.cat([sums.cpu(), torch.tensor([float(flops)], dtype=torch.float64)])
        total = self.exchange.sum(mine).tolist()
        page_ids = [page for part in self.exchange.all(batch.page_ids) for page in part]
        seconds = time.monotonic() - started
        if self.first_rank:
            self.metrics.append(
                {
                    "split": "train",
                    **self._place(batch.step, batch.epoch),
                    "tokens": int(counts[3]),
                    **dict(zip(LOSSES, total, strict=False)),
                    "acc_line": _ratio(total[4], float(counts[1])),
                    "acc_grid": _ratio(total[5], float(counts[2])),
                    "learning_rate": rate,
                    "grad_norm": norm,
                    "tokens_per_second": float(counts[3]) / seconds,
                    "samples_per_second": settings.global_batch_pages / seconds,
                    "mfu": self._mfu(total[6] / seconds),
                    "data_wait": wait,
                    "step_seconds": seconds,
                    "batch_digest": hashlib.sha256("".join(page_ids).encode()).hexdigest(),
                }
            )

    def _mfu(self, flops_per_second: float) -> float | None:
        kind = torch.bfloat16 if self.bf16 else torch.float32
        return mfu(flops_per_second / self.exchange.world_size, self.engine.device, kind)

    def _place(self, step: int, epoch: int) -> dict[str, Any]:
        return {
            "step": step,
            "epoch": epoch,
            "samples": step * self.settings.global_batch_pages,
            "world_size": self.exchange.world_size,
            "restarts": self.restarts,
            "time": time.time(),
        }

    def _evaluate(self, evaluation: Evaluation, epoch: int) -> None:
        if evaluation.pages:
            scores = evaluation(self.engine)
            if self.first_rank:
                self.metrics.append({"split": "eval", **self._place(self.step, epoch), **scores})

    def _save(self) -> None:
        facts = {
            "samples": self.step * self.settings.global_batch_pages,
            "seed": self.settings.seed,
            "world_size": self.exchange.world_size,
            "zero": self.settings.zero,
            "corpus_digest": self.parts.corpus.digest,
            "model": self.parts.config.to_dict(),
        }
        save(
            self.run.checkpoints,
            self.step,
            self.engine.fragments(),
            self.shapes,
            facts,
            self.exchange,
            self.settings.keep_checkpoints,
        )
        self.saved_step = self.step


def _seen(out: Any, inputs: dict[str, Tensor]) -> Tensor:
    """A micro-batch's losses (its shares of the global ones) and its right answers of both encoder tasks."""
    zero = out.loss.detach().new_zeros(())
    losses = [zero if out[name] is None else out[name].detach() for name in LOSSES]
    for task in ("line", "grid"):
        logits, labels = out[f"{task}_logits"], inputs.get(f"{task}_labels")
        losses.append(zero if logits is None else (logits.argmax(-1) == labels).sum())
    return torch.stack([value.double() for value in losses])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _timed(batches: Iterator[StepBatch]) -> Iterator[tuple[StepBatch, float]]:
    """Each batch with the seconds that its caller waited for it."""
    while True:
        started = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.monotonic() - started
