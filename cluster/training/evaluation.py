"""Held-out scores of the three tasks, beside baselines that look at no page.

Visible and hidden are counted apart: where a token's box is shown, its grid cell can be read from it, and the lines of
a pair nearly so. A pair is hidden when one of its two boxes is. The majority baseline always answers the class that is
most frequent among the held-out targets themselves, the best that a constant answer can do. The unigram baseline knows
how often each token is a target in training, and that a word follows: the model pays for not knowing whether the
masked span ends there, and is also scored on the word alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cluster.engine.exchange import Exchange
from cluster.engine.zero import Engine
from cluster.samples.feed import micro_batched, target_counts
from cluster.samples.order import SampleOrder, share
from cluster.samples.pages import PageStore
from model.sample import SampleBuilder
from model.unigram import UnigramBaseline, is_text_target

IGNORED = -100
UNIGRAM_PAGES = 2000


class Evaluation:
    """Scores an engine on the held-out pages; each rank takes a share of them.

    Args:
        store: the corpus's pages, of which some are held out.
        order: of the training samples, whose targets the unigram baseline counts.
        builder: makes samples of pages; the held-out ones always become the same samples.
        seed: of masks and pairs.
        pages: held-out pages used, at most, spread evenly over all there are.
        micro_batch: pages of a forward.
        exchange: among the ranks.
    """

    def __init__(
        self,
        store: PageStore,
        order: SampleOrder,
        builder: SampleBuilder,
        *,
        seed: int,
        pages: int,
        micro_batch: int,
        exchange: Exchange,
    ) -> None:
        self._exchange = exchange
        self._vocabulary = builder.tokenizer.vocab_size
        chosen = spread(store.index.held_out_pages, pages)
        count = len(chosen)
        first, end = share(count, exchange.rank, exchange.world_size)
        self._samples = [builder.build(row, seed, 0) for row in store.held_out(chosen[first:end])]
        self._micro_steps = math.ceil(math.ceil(count / exchange.world_size) / micro_batch)
        self._filler = self._samples[0] if self._samples else builder.build(store.held_out(chosen[:1])[0], seed, 0)
        self._unigram_loss = self._unigram(store, order, builder, seed)

    def _unigram(self, store: PageStore, order: SampleOrder, builder: SampleBuilder, seed: int) -> float:
        """Mean loss of the unigram baseline on all ranks' held-out text targets."""
        baseline = UnigramBaseline(self._vocabulary)
        plain = SampleBuilder(builder.tokenizer, builder.settings, None)
        first, end = share(min(UNIGRAM_PAGES, order.training_pages), self._exchange.rank, self._exchange.world_size)
        for row in store.rows(order.places(first, end - first)):
            labels = plain.build(row, seed, 0)["labels"]
            if labels is not None:
                baseline.add(labels)
        baseline.counts = self._exchange.sum(torch.from_numpy(baseline.counts)).long().numpy()
        targets = [sample["labels"] for sample in self._samples if sample["labels"] is not None]
        total, count = self._exchange.sum(torch.tensor(baseline.loss(targets), dtype=torch.float64)).tolist()
        return total / count if count else math.nan

    @torch.no_grad()
    def __call__(self, engine: Engine) -> dict[str, float]:
        """The scores, the same on every rank: losses in nats a target, accuracies and majority shares 0..1."""
        config: Any = engine.module.config
        engine.module.eval()
        tallies = _Tallies(config.grid_cells, config.line_classes)
        counts = self._exchange.sum(torch.from_numpy(sum(map(target_counts, self._samples), np.zeros(4))))
        ones = torch.ones(3, device=engine.device)
        for batch in micro_batched(self._samples, self._micro_steps, self._filler):
            batch = {key: value.to(engine.device) for key, value in batch.items()}
            out = engine.module(**batch, denominators=ones, use_cache=False)
            tallies.add(batch, out, self._vocabulary)
        engine.module.train()
        sums = self._exchange.sum(tallies.values)
        scores = _scores(dict(zip(tallies.names, sums.tolist(), strict=True)), counts.tolist())
        scores["unigram_dlm_text"] = self._unigram_loss
        parts = ((scores[f"loss_{task}"], getattr(config, f"loss_weight_{task}")) for task in ("dlm", "line", "grid"))
        return {"loss": sum(weight * loss for loss, weight in parts if not math.isnan(loss)), **scores}


def spread(pages: int, wanted: int) -> list[int]:
    """Numbers of at most `wanted` pages, evenly over `pages` of them."""
    chosen: list[int] = np.linspace(0, pages - 1, min(wanted, pages)).astype(int).tolist()
    return chosen


class _Tallies:
    """Sums over held-out targets, one float64 each, that add up over ranks."""

    def __init__(self, cells: int, line_classes: int) -> None:
        self.names = ["sum_dlm", "sum_line", "sum_grid", "sum_text", "sum_word", "text"]
        for task, classes in (("line", line_classes), ("grid", cells)):
            for part in ("visible", "hidden"):
                self.names += [f"right_{task}_{part}", *(f"{task}_{part}_{number}" for number in range(classes))]
        self._place = {name: place for place, name in enumerate(self.names)}
        self.values = torch.zeros(len(self.names), dtype=torch.float64)

    def add(self, batch: Mapping[str, Tensor], out: Mapping[str, Tensor], vocabulary: int) -> None:
        for task in ("dlm", "line", "grid"):
            loss = out.get(f"loss_{task}")
            if loss is not None:
                self._count(f"sum_{task}", loss)
        if "labels" in batch:
            labels: Any = batch["labels"]
            text: Any = is_text_target(labels, vocabulary)
            logits, wanted = out["logits"][text].float(), batch["labels"][text]
            self._count("sum_text", F.cross_entropy(logits, wanted, reduction="sum"))
            ids: Any = torch.arange(logits.shape[-1], device=logits.device)
            word: Any = is_text_target(ids, vocabulary)
            among_words = logits.masked_fill(~word, -math.inf)
            self._count("sum_word", F.cross_entropy(among_words, wanted, reduction="sum"))
            self._count("text", text.sum())
        if "line_pairs" in batch:
            pairs = batch["line_pairs"]
            hidden = batch["bbox_hidden"].gather(1, pairs.flatten(1)).view(pairs.shape).any(-1)
            self._count_task("line", out["line_logits"], batch["line_targets"], hidden)
        if "grid_targets" in batch:
            self._count_task("grid", out["grid_logits"], batch["grid_targets"], batch["bbox_hidden"])

    def _count(self, name: str, value: Tensor) -> None:
        self.values[self._place[name]] += float(value)

    def _count_task(self, task: str, logits: Tensor, labels: Tensor, hidden: Tensor) -> None:
        right = logits.argmax(-1) == labels
        for part, chosen in (("visible", ~hidden), ("hidden", hidden)):
            counted = chosen & (labels != IGNORED)
            self._count(f"right_{task}_{part}", (right & counted).sum())
            first = self._place[f"{task}_{part}_0"]
            self.values[first : first + logits.shape[-1]] += torch.bincount(
                labels[counted], minlength=logits.shape[-1]
            ).cpu()


def _scores(sums: Mapping[str, float], counts: Sequence[float]) -> dict[str, float]:
    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else math.nan

    scores = {
        f"loss_{task}": ratio(sums[f"sum_{task}"], count)
        for task, count in zip(("dlm", "line", "grid"), counts, strict=False)
    }
    scores["loss_dlm_text"] = ratio(sums["sum_text"], sums["text"])
    scores["loss_dlm_word"] = ratio(sums["sum_word"], sums["text"])
    for task in ("line", "grid"):
        right, seen = 0.0, 0.0
        for part in ("visible", "hidden"):
            classes = [value for name, value in sums.items() if name.startswith(f"{task}_{part}_")]
            right, seen = right + sums[f"right_{task}_{part}"], seen + sum(classes)
            scores[f"acc_{task}_{part}"] = ratio(sums[f"right_{task}_{part}"], sum(classes))
            scores[f"majority_{task}_{part}"] = ratio(max(classes), sum(classes))
        scores[f"acc_{task}"] = ratio(right, seen)
    return scores
