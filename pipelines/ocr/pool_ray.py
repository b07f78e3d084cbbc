"""Ray actors that hold a heavy engine on a share of a GPU and read the pages of many workers in batches.

Each worker waits for one page at a time, so that there are never more page pictures on their way than workers, while
the other workers go on reading documents on the CPU. An actor that dies is started again by Ray. The pages that it
held are each read once more alone, in a child process of their worker (`IsolatedEngine`): the page that kills an
engine then kills that child only, and is the one that is quarantined.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.ocr.engine import OcrPage, Picture, engine
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.ocr.upright import Upright

GATHER_S = 0.02  # a batch waits this long for more pages


class BatchReader:
    """The inside of an actor: reads what several callers ask for together.

    Args:
        name: of an engine that has `read_batch`.
        options: of its constructor.
        batch_pages: pages at once.
    """

    def __init__(self, name: str, options: Mapping[str, Any], batch_pages: int) -> None:
        self._engine: Any = engine(name, **options)
        self._batch_pages = batch_pages
        self._waiting: asyncio.Queue[tuple[Picture, asyncio.Future[OcrPage]]] = asyncio.Queue()
        self._loop_task: asyncio.Task[None] | None = None
        self.batches: list[int] = []

    async def read(self, picture: Picture) -> tuple[OcrPage, str, str]:
        """The words of a picture uint8 [H, W, 3] RGB, and the engine's name and version."""
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._serve())
        answer: asyncio.Future[OcrPage] = asyncio.get_running_loop().create_future()
        await self._waiting.put((picture, answer))
        return await answer, self._engine.name, self._engine.version

    async def batch_sizes(self) -> list[int]:
        """Pages of each batch so far."""
        return self.batches

    async def _serve(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            deadline = asyncio.get_running_loop().time() + GATHER_S
            while len(batch) < self._batch_pages:
                left = deadline - asyncio.get_running_loop().time()
                try:
                    batch.append(await asyncio.wait_for(self._waiting.get(), max(left, 0)))
                except TimeoutError:
                    break
            self.batches.append(len(batch))
            try:
                pages: Sequence[Any] = await asyncio.to_thread(
                    self._engine.read_batch, [picture for picture, _ in batch]
                )
            except Exception as error:  # the callers read their pages alone
                pages = [error] * len(batch)
            for (_, answer), page in zip(batch, pages, strict=True):
                if answer.done():
                    continue
                if isinstance(page, Exception):
                    answer.set_exception(page)
                else:
                    answer.set_result(page)


class PooledEngine:
    """An engine read through the actors of a pool; reads as the engine itself does.

    Args:
        actors: handles of `BatchReader`.
        alone: reads the page whose batch failed.
        timeout_s: wall time for one page, seconds.
    """

    def __init__(self, actors: Sequence[Any], alone: IsolatedEngine, timeout_s: float) -> None:
        self._actors, self._alone, self._timeout_s = list(actors), alone, timeout_s
        self._next = 0
        self.name, self.version = alone.name, alone.version
        self._upright = Upright(_Raw(self))

    def load(self) -> None:
        """Nothing to do: the pool has loaded its engines."""

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB; `name` and `version` then say which engine read them.

        Raises:
            DropError: the engine failed on this picture alone, too.
        """
        import ray

        try:
            page = self._upright.read(picture)
            self.name, self.version = self._upright.name, self._upright.version
        except (ray.exceptions.RayError, TimeoutError):
            page = self._alone.read(picture)
            self.name, self.version = self._alone.name, self._alone.version
        return page

    def ask(self, picture: Picture) -> tuple[OcrPage, str, str]:
        """One reading by the next actor in turn; raises RayError when it dies, fails or is late."""
        import ray

        actor = self._actors[self._next % len(self._actors)]
        self._next += 1
        answer: tuple[OcrPage, str, str] = ray.get(actor.read.remote(picture), timeout=self._timeout_s)
        return answer

    def close(self) -> None:
        """End the child; the actors are the pool's to end."""
        self._alone.close()


class _Raw:
    """The pool as an engine that reads a picture as it lies."""

    def __init__(self, pool: PooledEngine) -> None:
        self._pool = pool
        self.name, self.version = pool.name, pool.version

    def read(self, picture: Picture) -> OcrPage:
        page, self.name, self.version = self._pool.ask(picture)
        return page


@contextmanager
def ocr_pool(
    key: str, name: str, options: Mapping[str, Any], actors: int, gpus: float, batch_pages: int
) -> Iterator[int]:
    """Start actors for the length of a block, and give their number; 0: the cluster has no GPU and none were asked for.

    Args:
        key: by which workers of this Ray job find them.
        name: of the engine.
        options: of its constructor.
        actors: how many; 0: as many as the cluster's GPUs hold.
        gpus: share of a GPU for each; taken only where the cluster has one.
        batch_pages: pages at once in each.

    Raises:
        UsageError: the engine's weights are missing.
    """
    import ray

    there = ray.cluster_resources().get("GPU", 0.0)
    share = gpus if there else 0.0
    count = actors or (int(there / share) if share else 0)
    # No CPU is reserved: the workers that wait for the actors hold them all.
    kind = ray.remote(num_cpus=0, num_gpus=share, max_restarts=-1, max_concurrency=1000)(BatchReader)
    started = [kind.options(name=f"{key}-{place}").remote(name, dict(options), batch_pages) for place in range(count)]
    try:
        ray.get([actor.batch_sizes.remote() for actor in started])  # loaded
        yield count
    finally:
        for actor in started:
            ray.kill(actor)


def pooled(key: str, count: int, alone: IsolatedEngine, timeout_s: float) -> PooledEngine:
    """The engine of a pool of `count` actors that this Ray job has started under `key`."""
    import ray

    return PooledEngine([ray.get_actor(f"{key}-{place}") for place in range(count)], alone, timeout_s)
