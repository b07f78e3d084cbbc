"""Work over many items: as a Ray Data job, or in this process where starting Ray would cost more than the work."""

import json
import logging
import os
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import JobError, UsageError, WorkError
from pipelines.stopping import ours_kept

# Ray Data looks for finished tasks ten times a second, and until it has, a worker waits for its next item. An actor has
# that in its queue; but it is a process of its own from start to end, which only many items are worth.
ITEMS_A_WORKER = 8
QUEUED = 2  # items an actor holds, with the one at hand
FAILED = "failed"  # the only column of a row that stands for an error
OURS = (UsageError, JobError)
Work = Callable[[str], dict[str, Any]]


def on_ray(items: Sequence[str], work: Work, workers: int, queued: bool = False) -> Iterator[dict[str, Any]]:
    """`work` of each item (a text) in Ray's worker processes, the results as they come.

    Args:
        items: each one is a task of its own, so that a long one holds up nothing but itself.
        work: returns a mapping of plain values; an exception ends the whole job.
        workers: at once; 0: one a CPU of the cluster.
        queued: whether no worker should wait between two items, at the price of processes of their own, where there are
            many items and a known number of workers.

    Raises:
        UsageError, JobError: the work did.
        WorkError: the work failed otherwise, or its processes died again and again.
    """
    import ray
    from ray.exceptions import RayError

    if not items:
        return
    start_ray()
    data = ray.data.from_items([{"item": item} for item in items], override_num_blocks=len(items))
    fixed = workers or _cpus_of_one_node()
    if queued and fixed and len(items) >= ITEMS_A_WORKER * fixed:
        pool = ray.data.ActorPoolStrategy(size=fixed, max_tasks_in_flight_per_actor=QUEUED)
        results = data.map(_Worker, fn_constructor_args=(work,), num_cpus=1, compute=pool)
    else:
        options = {"concurrency": workers} if workers else {}
        results = data.map(lambda row: _tried(work, row["item"]), num_cpus=1, **options)
    try:
        yield from map(_result, results.iter_rows())
    except RayError as error:
        raise WorkError(f"{type(error).__name__}: {_short(error)}") from None


def _cpus_of_one_node() -> int:
    """The CPUs of the only node; 0 where there are several, which may come and go."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    return int(nodes[0]["Resources"].get("CPU", 0)) if len(nodes) == 1 else 0


class _Worker:
    """An actor that does one item after the other."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        return _tried(self._work, row["item"])


def _tried(work: Work, item: str) -> dict[str, Any]:
    """The result, or what went wrong as one: of an exception Ray hands on little more than a long text."""
    try:
        return work(item)
    except Exception as error:
        ours = next((kind.__name__ for kind in OURS if isinstance(error, kind)), "")
        text, trace = str(error), ""
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        elif not ours:
            text, trace = f"{type(error).__name__}: {_short(error)}", traceback.format_exc()
        return {FAILED: json.dumps({"ours": ours, "text": text, "traceback": trace})}


def _result(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `_tried`; raises the error that it holds."""
    if FAILED not in row:
        return row
    failed = json.loads(row[FAILED])
    for kind in OURS:
        if failed["ours"] == kind.__name__:
            raise kind(failed["text"])
    raise WorkError(failed["text"] + _where(failed["traceback"]))


def _where(text: str) -> str:
    """Says in which file the traceback `text` now is."""
    if not text:
        return ""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="docformer-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:
        return f" ({text.splitlines()[-2].strip()})"
    return f"; traceback in {file.name}"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def in_threads(items: Sequence[str], work: Work, workers: int) -> Iterator[dict[str, Any]]:
    """The same in threads of this process, the results in order: for Arrow's work, which holds no lock."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from map(_result, pool.map(partial(_tried, work), items))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What keeps Ray from starting, with its remedy."""
    try:
        yield
    except PermissionError as error:
        raise UsageError(
            f"Ray cannot write {error.filename}; set HOME to a folder of yours, or RAY_AUTH_TOKEN_PATH to a file there"
        ) from None
    except OSError as error:
        remedy = "; set RAY_TMPDIR to a shorter path" if "AF_UNIX" in str(error) else ""
        raise UsageError(f"Ray cannot start: {error}{remedy}") from None
    except Exception as error:
        raise JobError(
            f"Ray did not start: {error}; its logs are in session_latest/logs of its temporary folder (RAY_TMPDIR)"
        ) from error


def _lasting(start: Callable[[], Any]) -> None:
    """Call `start` in a thread that lasts as long as this process: the kernel ends Ray with the thread that started it.

    Without its Ray, Ray's library would end this process too, a minute later and without a word.
    """
    if threading.current_thread() is threading.main_thread():
        start()
        return
    started: Future[None] = Future()

    def call() -> None:
        try:
            start()
        except BaseException as error:
            started.set_exception(error)
        else:
            started.set_result(None)
            threading.Event().wait()

    threading.Thread(target=call, name="ray", daemon=True).start()
    started.result()


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
        with ours_kept(), _plain_errors():
            _lasting(lambda: ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local))
        if not known and token.is_file():
            token.chmod(0o600)  # Ray makes one, for all on this machine to read
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A stage emits an error as a row; whatever still ends a task ends the build, and nothing is dropped.
    context.max_errored_blocks = 0
