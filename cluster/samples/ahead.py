"""Batches prepared ahead of use, and on a GPU already copied to it while the step before them computes."""

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from cluster.samples.feed import StepBatch

POLL_S = 0.2


def ahead(batches: "Generator[StepBatch]", count: int, device: torch.device) -> "Iterator[StepBatch]":
    """`batches` in their order with their micro-batches on `device`; one thread prepares up to `count` in advance.

    An error of `batches` is raised at its place. When the caller stops asking, the thread ends and `batches` is closed.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=count)
    ended = threading.Event()
    stream: Any = torch.cuda.Stream
    copies = stream(device) if device.type == "cuda" else None

    def hand_over(item: Any) -> None:
        while not ended.is_set():
            try:
                ready.put(item, timeout=POLL_S)
                return
            except queue.Full:
                continue

    def prepare() -> None:
        try:
            for batch in batches:
                hand_over((batch, None) if copies is None else _sent(batch, device, copies))
                if ended.is_set():
                    return
            hand_over(None)
        except BaseException as error:
            hand_over(error)

    thread = threading.Thread(target=prepare, name="feed", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            batch, copied = item
            if copied is not None:
                _await_copy(batch, copied, torch.cuda.current_stream(device))
            yield batch
    finally:
        ended.set()
        thread.join()
        batches.close()


def _sent(batch: "StepBatch", device: torch.device, copies: torch.cuda.Stream) -> "tuple[StepBatch, torch.cuda.Event]":
    """`batch` on its way to `device`, and the event of its arrival."""
    with torch.cuda.stream(copies):
        micro_batches = [
            {key: value.pin_memory().to(device, non_blocking=True) for key, value in inputs.items()}
            for inputs in batch.micro_batches
        ]
        return replace(batch, micro_batches=micro_batches), copies.record_event()


def _await_copy(batch: "StepBatch", copied: torch.cuda.Event, computing: torch.cuda.Stream) -> None:
    """Have the stream that computes wait for the copy, and keep its memory until that stream is done with it."""
    computing.wait_event(copied)
    for inputs in batch.micro_batches:
        for value in inputs.values():
            value.record_stream(computing)
