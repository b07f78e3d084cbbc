"""Writing checkpoints while training goes on: a quick copy of the state, a thread that writes it, one atomic commit.

The step that saves waits only for the copy into host memory (and for an earlier checkpoint, were it still in flight).
A thread of each rank then writes, hashes and syncs that rank's file. Ranks talk only on the main thread: each step's
sum carries whether a rank's file is written, so that all learn at the same step that all are; rank 0's thread then
commits. The price is the copy: 12 bytes of host memory for each parameter that a
rank's ZeRO shard holds, kept from start to end. In the foreground nothing is copied, and training waits for the disk.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cluster.checkpoints.checkpoint import index_text
from cluster.checkpoints.shelf import shelf_of, step_of
from cluster.checkpoints.tensor_file import write_tensors
from cluster.engine.exchange import Exchange
from cluster.engine.zero import Fragment
from pipelines.corpus.shards import write_text
from pipelines.errors import JobError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder

Named = list[tuple[str, Tensor]]


class CheckpointWriter:
    """Saves checkpoints of one run; every rank makes the same calls in the same order.

    Args:
        place: the run's checkpoints: an object store, or a disk that all ranks share.
        latest: file that names the newest complete one.
        shapes: of every parameter.
        exchange: among the ranks.
        keep: newest complete checkpoints that stay, at least 1.
        keep_every: checkpoints whose step is a multiple of it stay too; None: no others.
        background: whether training goes on while files are written.
        committed: called on rank 0, in any thread, with the facts of a committed checkpoint: step, bytes, stalled
            (seconds that training waited) and seconds (from start to commit).
        hint: called likewise with a line about an old checkpoint that cannot be deleted, once for each.
    """

    def __init__(
        self,
        place: Place,
        latest: Path,
        shapes: Mapping[str, tuple[int, ...]],
        exchange: Exchange,
        *,
        keep: int = 1,
        keep_every: int | None = None,
        background: bool = True,
        committed: Callable[[dict[str, Any]], None] = lambda facts: None,
        hint: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._address, self._shelf, self._latest = folder_of(place).address, shelf_of(place), latest
        self._shapes, self._exchange = shapes, exchange
        self._keep, self._keep_every, self._background = keep, keep_every, background
        self._committed, self._hint, self._stuck = committed, hint, set[str]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._copy: Future[_HostCopy] | None = None
        self._writing: Future[dict[str, Any]] | None = None
        self._committing: Future[None] | None = None
        self._facts: dict[str, Any] = {}
        self._started = self._stalled = 0.0

    def reserve(self, fragments: Iterable[Fragment]) -> None:
        """Take the host memory for copies of `fragments` ahead of the first, in the background.

        Memory that the system hands out for the first time is many times slower to write than memory in use.
        """
        if self._background:
            self._copy = self._thread.submit(_HostCopy, _named(fragments))

    def begin(self, step: int, fragments: Iterable[Fragment], facts: Mapping[str, Any]) -> None:
        """Start to write checkpoint `step` from this rank's `fragments`, with JSON values `facts` for the index.

        Raises:
            JobError: an earlier checkpoint, or in the foreground this one, could not be written.
        """
        started = time.monotonic()
        self.finish()
        tensors = _named(fragments)
        data = [self._host_copy(tensors).take(tensors)] if self._background else [tensor for _, tensor in tensors]
        self._facts, self._started = {"step": step, **facts}, started
        self._writing = self._thread.submit(self._write, self._shelf.begun(step), _sizes(tensors), data)
        if not self._background:
            self.finish()
        self._stalled = time.monotonic() - started

    def flags(self) -> Tensor:
        """float64 [2]: whether this rank's file is written, and whether something failed; their sums go to `tell`."""
        written = self._writing is not None and self._writing.done()
        failed = any(job is not None and job.done() and job.exception() for job in (self._writing, self._committing))
        return torch.tensor([float(written), float(failed)], dtype=torch.float64)

    def tell(self, sums: Tensor) -> None:
        """Commit if `sums` (of all ranks' `flags`) say that every file is written.

        Raises:
            JobError: a rank could not write.
        """
        written, failed = sums.tolist()
        if failed:
            self.finish()
        elif self._writing is not None and written == self._exchange.world_size:
            self._commit()

    def finish(self) -> None:
        """Wait until a checkpoint in flight is committed.

        Raises:
            JobError: a rank could not write it.
        """
        if self._writing is not None:
            self._together(self._writing.result)
            self._commit()
        if self._committing is not None or self._exchange.world_size > 1:
            self._together(lambda: self._committing.result() if self._committing else None)
            self._committing = None

    def close(self) -> None:
        """End the thread; a checkpoint that is not committed by now stays unfinished."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _host_copy(self, tensors: Named) -> "_HostCopy":
        copy = self._copy.result() if self._copy is not None else None
        if copy is None or not copy.fits(tensors):
            copy = _HostCopy(tensors)
        self._copy = Future()
        self._copy.set_result(copy)
        return copy

    def _write(self, begun: Folder, sizes: list[tuple[str, int]], data: list[Tensor]) -> dict[str, Any]:
        name = f"rank-{self._exchange.rank:05d}.safetensors"
        size, digest = write_tensors(begun, name, sizes, data)
        pieces = []
        for key, length in sizes:
            parameter, start, kind = key.rsplit(":", 2)
            if kind == "weight":
                pieces.append((parameter, int(start), length))
        return {"name": name, "bytes": size, "sha256": digest, "pieces": pieces}

    def _commit(self) -> None:
        """Every rank's file is written: let rank 0's thread make them a checkpoint."""
        assert self._writing is not None
        ranks = self._exchange.all(self._writing.result())
        self._writing = None
        if self._exchange.rank == 0:
            # A commit before this one has ended: checkpoints begin only after it.
            self._committing = self._thread.submit(self._make_complete, ranks, self._facts)

    def _make_complete(self, ranks: list[dict[str, Any]], facts: dict[str, Any]) -> None:
        begun = self._shelf.begun(facts["step"])
        for stray in set(begun.names()) - {rank["name"] for rank in ranks}:
            begun.remove(stray)  # left by a kill at this very step, with more workers than now
        self._shelf.commit(facts["step"], index_text(ranks, self._shapes, facts))
        newest, *older = self._shelf.complete()
        write_text(self._latest, f"{newest.name}\n")
        for old in older[self._keep - 1 :]:
            if self._keep_every is None or step_of(old) % self._keep_every:
                self._remove(old)
        self._committed(
            {
                "step": facts["step"],
                "bytes": sum(rank["bytes"] for rank in ranks),
                "stalled": round(self._stalled, 4),
                "seconds": round(time.monotonic() - self._started, 4),
            }
        )

    def _remove(self, old: Folder) -> None:
        """Delete a checkpoint that is kept no longer; what cannot be deleted costs room, not the run."""
        try:
            self._shelf.remove(old)
        except OSError as error:
            if old.name not in self._stuck:
                self._stuck.add(old.name)
                why = error.strerror or " ".join(str(error).split())[:160]
                self._hint(f"{self._address}: {old.name} is kept no longer and could not be deleted: {why}")

    def _together(self, work: Callable[[], Any]) -> None:
        """Run `work` on every rank; where it fails on one, every rank raises the same error."""
        error, cause = "", None
        try:
            work()
        except Exception as problem:
            error, cause = getattr(problem, "strerror", None) or str(problem), problem
        errors = [text for text in self._exchange.all(error) if text]
        if errors:
            self._writing = self._committing = None
            if self._exchange.rank == 0:
                with contextlib.suppress(OSError):
                    self._shelf.clear()  # room for the next try
            raise JobError(
                f"{self._address}: a checkpoint could not be written: {errors[0]}; put that right and resume"
            ) from cause


class _HostCopy:
    """One block of host memory for copies of named fp32 tensors; pinned where they come from a GPU.

    Args:
        tensors: whose sizes the copies have.
    """

    def __init__(self, tensors: Named) -> None:
        self._sizes = _sizes(tensors)
        # At stage 0 the first rank holds everything and the others nothing.
        self._device = tensors[0][1].device if tensors else torch.device("cpu")
        on_gpu = self._device.type == "cuda"
        with torch.cuda.device(self._device) if on_gpu else contextlib.nullcontext():
            self._block = torch.empty(sum(size for _, size in self._sizes), pin_memory=on_gpu).zero_()

    def fits(self, tensors: Named) -> bool:
        """Whether this was made for tensors like these."""
        return self._sizes == _sizes(tensors)

    def take(self, tensors: Named) -> Tensor:
        """Copy every tensor; returns the copies one after the other, good until the next call."""
        parts = torch.split(self._block, [size for _, size in self._sizes]) if tensors else ()
        if self._device.type == "cuda":
            for (_, tensor), part in zip(tensors, parts, strict=True):
                part.copy_(tensor.detach(), non_blocking=True)
            torch.cuda.synchronize(self._device)
        else:
            # One thread copies as fast as memory allows; torch's many wait for each other where cores are busy.
            for (_, tensor), part in zip(tensors, parts, strict=True):
                np.copyto(part.numpy(), tensor.detach().numpy())
        return self._block


def _sizes(tensors: Named) -> list[tuple[str, int]]:
    return [(name, len(tensor)) for name, tensor in tensors]


def _named(fragments: Iterable[Fragment]) -> Named:
    def each() -> Iterator[tuple[str, Tensor]]:
        for fragment in fragments:
            for key, tensor in fragment.tensors.items():
                yield f"{fragment.name}:{fragment.start}:{key}", tensor

    return list(each())
