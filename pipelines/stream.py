"""Work over many items: as a Ray Data job, or in this process where starting Ray would cost more than the work."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Work = Callable[[str], dict[str, Any]]


def on_ray(items: Sequence[str], work: Work, workers: int) -> Iterator[dict[str, Any]]:
    """`work` of each item (a text) in Ray's worker processes, the results as they come.

    Args:
        items: each one is a task of its own, so that a long one holds up nothing but itself.
        work: returns a mapping of plain values; an exception ends the whole job.
        workers: at once; 0: one a CPU of the cluster.
    """
    import ray

    if not items:
        return
    start_ray()
    data = ray.data.from_items([{"item": item} for item in items], override_num_blocks=len(items))
    options = {"concurrency": workers} if workers else {}
    yield from data.map(lambda row: work(row["item"]), num_cpus=1, **options).iter_rows()


def in_threads(items: Sequence[str], work: Work, workers: int) -> Iterator[dict[str, Any]]:
    """The same in threads of this process, the results in order: for Arrow's work, which holds no lock."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)


def start_ray() -> None:
    """Connect to the cluster that the environment names, else start a local Ray; a second call does nothing."""
    import ray
    import ray.data

    if not ray.is_initialized():
        # A cluster only where the environment names one: never another user's that happens to run on this machine.
        address = os.environ.get("RAY_ADDRESS", "local")
        local = {"include_dashboard": False} if address == "local" else {}
        token = Path.home() / ".ray" / "auth_token"
        known = token.exists()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
        if not known and token.is_file():
            token.chmod(0o600)  # Ray makes one, for all on this machine to read
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A stage emits an error as a row; whatever still ends a task ends the build, and nothing is dropped.
    context.max_errored_blocks = 0
