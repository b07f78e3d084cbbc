"""A rank's part of each global batch, as micro-batches of tensors, prepared in the background.

Which samples make up a batch follows from the order alone; length buckets act inside a rank's share, so that short
pages are padded with short ones. All ranks get the same number of micro-batches; one that a small share leaves empty is
a page without labels, which counts nothing.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cluster.samples.ahead import ahead
from cluster.samples.order import SampleOrder, share
from cluster.samples.pages import PageStore
from model.batch import collate
from model.sample import Sample, SampleBuilder

PAD_TO = 16
STEPS_AHEAD = 3
IGNORED = -100


@dataclass(frozen=True)
class StepBatch:
    """What one rank computes in one step.

    Attributes:
        step: 1-based.
        epoch: how many times every corpus has been gone through before the global batch's last sample.
        page_ids: of this rank's samples, in the global order.
        micro_batches: keyword arguments of the model each.
        counts: float64 [4], this rank's targets of denoising, token-to-line and token-to-grid, and its tokens
            (encoder text and decoder positions without padding).
        shapes: (pages, text positions, target positions) of each micro-batch, padding included.
    """

    step: int
    epoch: int
    page_ids: list[str]
    micro_batches: list[dict[str, Tensor]]
    counts: Tensor
    shapes: list[tuple[int, int, int]]


class Feed(Dataset[StepBatch]):
    """Builds a rank's part of any step; `steps` prepares them ahead of use.

    Args:
        store: the corpora's pages.
        order: of the samples.
        builder: makes samples of pages.
        seed: of masks and pairs.
        global_batch: pages of a step over all ranks.
        micro_batch: largest number of pages of a forward.
        rank, world_size: of this worker.
    """

    def __init__(
        self,
        store: PageStore,
        order: SampleOrder,
        builder: SampleBuilder,
        *,
        seed: int,
        global_batch: int,
        micro_batch: int,
        rank: int,
        world_size: int,
    ) -> None:
        self._store, self._order, self._builder, self._seed = store, order, builder, seed
        self._global_batch, self._micro_batch = global_batch, micro_batch
        self._share = share(global_batch, rank, world_size)
        self.micro_steps = math.ceil(math.ceil(global_batch / world_size) / micro_batch)

    def __getitem__(self, step: int) -> StepBatch:
        """This rank's part of 1-based step `step`."""
        base = (step - 1) * self._global_batch
        places = self._order.batch(base, self._global_batch)[slice(*self._share)]
        rows = self._store.rows(places)
        samples = [self._builder.build(row, self._seed, at.epoch) for row, at in zip(rows, places, strict=True)]
        filler = samples[0] if samples else self._any_sample()
        micro_batches = micro_batched(samples, self.micro_steps, filler)
        return StepBatch(
            step=step,
            epoch=self._order.epoch(base + self._global_batch - 1),
            page_ids=[sample["page_id"] for sample in samples],
            micro_batches=micro_batches,
            counts=torch.from_numpy(sum((target_counts(sample) for sample in samples), np.zeros(4))),
            shapes=[
                (*batch["input_ids"].shape, batch["labels"].shape[1] if "labels" in batch else 0)
                for batch in micro_batches
            ],
        )

    def _any_sample(self) -> Sample:
        return self._builder.build(self._store.rows(self._order.places(0, 1))[0], self._seed, 0)

    def steps(self, first: int, last: int, processes: int, device: torch.device) -> Iterator[StepBatch]:
        """Steps `first` .. `last` in order with micro-batches on `device`, prepared ahead in a thread or processes."""
        return ahead(self._prepared(first, last, processes), STEPS_AHEAD, device)

    def _prepared(self, first: int, last: int, processes: int) -> Generator[StepBatch]:
        if not processes:
            yield from map(self.__getitem__, range(first, last + 1))
            return
        loader = DataLoader(
            _Careful(self),
            batch_size=None,
            sampler=range(first, last + 1),
            num_workers=processes,
            prefetch_factor=STEPS_AHEAD,
            # Fresh processes: forking one that runs threads of Ray and torch can lock up the child.
            multiprocessing_context="forkserver",
        )
        for batch in loader:
            if isinstance(batch, Exception):
                raise batch
            yield batch


class _Careful(Dataset[StepBatch | Exception]):
    """The feed in a process of its own: an error is handed over as it is, where torch would wrap it in a traceback."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __getitem__(self, step: int) -> StepBatch | Exception:
        try:
            return self._feed[step]
        except Exception as error:
            return error


def micro_batched(samples: Sequence[Sample], micro_steps: int, filler: Sample) -> list[dict[str, Tensor]]:
    """Samples of like length together in `micro_steps` batches; an empty one is `filler` without labels."""
    by_length = sorted(samples, key=lambda s: (len(s["input_ids"]), 0 if s["labels"] is None else len(s["labels"])))
    chunks = [[by_length[place] for place in part] for part in np.array_split(np.arange(len(by_length)), micro_steps)]
    return [collate(chunk or [without_labels(filler)], pad_to_multiple=PAD_TO) for chunk in chunks]


def without_labels(sample: Sample) -> Sample:
    """The sample with every label ignored: it has a loss of zero and counts no target."""
    blank = sample.copy()
    for key in ("labels", "line_targets", "grid_targets"):
        labels = blank[key]
        if labels is not None:
            blank[key] = np.full_like(labels, IGNORED)
    return blank


def target_counts(sample: Sample) -> np.ndarray:
    """float64 [4]: targets of denoising, token-to-line, token-to-grid; tokens of encoder text and decoder."""
    labels, lines, cells = sample["labels"], sample["line_targets"], sample["grid_targets"]
    targets = 0 if labels is None else len(labels)
    return np.array(
        [
            targets,
            0 if lines is None else int((lines != IGNORED).sum()),
            0 if cells is None else int((cells != IGNORED).sum()),
            len(sample["input_ids"]) + targets,
        ],
        np.float64,
    )
