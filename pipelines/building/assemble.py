"""From a plan to a committed corpus: read what must be read, settle the filters, revise parts, write the manifest.

A build is a plan without earlier parts. Every shard has a name that follows from its content's causes, and nothing that
a manifest lists is touched before the next manifest is in place: after a kill at any moment the folder holds the corpus
from before or the new one, and the same plan goes on where it stopped.
"""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.building.jobs import KEPT_OUT, run_jobs
from pipelines.building.output import clear
from pipelines.building.revise import overlaps_of, revise
from pipelines.building.settle import Earlier, PageKey, settle
from pipelines.corpus.manifest import Origin, write_manifest
from pipelines.corpus.parts import FACT_SHARDS, Part
from pipelines.corpus.reader import READERS
from pipelines.errors import UsageError, WorkError
from pipelines.folders.folder import Folder
from pipelines.progress import Progress
from pipelines.sources.inventory import Record, distinct, plan_jobs
from pipelines.stream import in_threads, on_ray

# Revising a page takes a millisecond or two: fewer pages are done sooner than Ray has started.
IN_THREADS_PAGES = 20_000
Runs = Mapping[str, list[tuple[int, int]]]


@dataclass
class Plan:
    """What is to become of a corpus.

    Attributes:
        out: folder of the corpus to be, prepared.
        origin: what it is made from.
        runs: pages to read, as (first, end) runs of each doc_id.
        kept_out: the runs of the evaluation pages: uint64 [R], sorted.
        parts: of the earlier corpus, to be kept or revised.
        gone: their pages that are read again.
        relabel: whether labels or fingerprint of the others change.
        compare: whether the others are compared with the evaluation pages anew.
        still_ours: called before the manifest is written; raises JobError when another run has had the folder.
        stages: items, unit and seconds of each stage; those of `assemble` are added.
    """

    out: Folder
    origin: Origin
    runs: Runs
    kept_out: NDArray[np.uint64]
    still_ours: Callable[[], None]
    parts: list[Part] = field(default_factory=list)
    gone: set[PageKey] = field(default_factory=set)
    relabel: bool = False
    compare: bool = False
    stages: dict[str, Any] = field(default_factory=dict)


def assemble(plan: Plan) -> dict[str, Any]:
    """Carry out `plan` and return the manifest.

    Raises:
        JobError: a document or page is not accounted for, or another run has had the folder meanwhile.
    """
    try:
        return _assemble(plan)
    except (FileNotFoundError, WorkError):
        plan.still_ours()  # another's commit clears away what it does not list
        raise


def _assemble(plan: Plan) -> dict[str, Any]:
    settings, key = plan.origin.settings, plan.origin.key
    if len(plan.kept_out):
        kept_out = io.BytesIO()
        np.save(kept_out, plan.kept_out)
        plan.out.write(KEPT_OUT, kept_out.getvalue())
    else:
        plan.out.remove(KEPT_OUT)
    documents = distinct(plan.origin.records)[0]
    records = {document["doc_id"]: document for document in documents}
    parts = plan.parts + _read(plan, documents, plan.runs)
    overlaps = partial(overlaps_of, plan.kept_out) if plan.compare else None
    while True:
        earlier = Earlier(frozenset(plan.parts), plan.gone, plan.relabel, overlaps)
        settled = settle(parts, earlier, settings, records, key)
        if not settled.missing:
            break
        # Known, but not stored: another filter, or a page that is no more, had left them out.
        plan.gone |= settled.missing
        refuse_absent(documents, as_runs(settled.missing))
        parts += _read(plan, documents, as_runs(settled.missing))
    _revise(plan, settled.tasks)
    final = [Part(plan.out, task["new"]) for task in settled.tasks]
    with ThreadPoolExecutor(READERS) as pool:
        final += pool.map(partial(_bring, out=plan.out), settled.kept)
    manifest = write_manifest(plan.out, plan.origin, final, plan.stages, plan.still_ours)
    clear(plan.out, manifest)
    return manifest


def as_runs(pages: Iterable[PageKey]) -> Runs:
    """Single pages as (first, end) runs of each doc_id."""
    runs: dict[str, list[tuple[int, int]]] = {}
    for doc_id, page in sorted(pages):
        own = runs.setdefault(doc_id, [])
        if own and own[-1][1] == page:
            own[-1] = (own[-1][0], page + 1)
        else:
            own.append((page, page + 1))
    return runs


def refuse_absent(records: Iterable[Record], runs: Runs) -> None:
    """Raise UsageError when a document of `runs` is not where it was found; nothing has become of the corpus then."""
    paths = {record["path"] for record in records if record["doc_id"] in runs and "://" not in record["path"]}
    absent = sorted(path for path in paths if not Path(path).exists())
    if absent:
        raise UsageError(
            f"{absent[0]}: not there, and pages of it must be read again under these settings ({len(absent)} such "
            "files); restore it, or leave those settings as they are"
        )


@contextmanager
def timed(stages: dict[str, Any], name: str, items: int, unit: str) -> Iterator[None]:
    """Add the seconds of the block to stage `name`, which is of `items` more of `unit`."""
    started = time.monotonic()
    yield
    before = stages.get(name, {"items": 0, "seconds": 0.0})
    seconds = round(before["seconds"] + time.monotonic() - started, 3)
    stages[name] = {"items": before["items"] + items, "unit": unit, "seconds": seconds}


def _read(plan: Plan, documents: Iterable[Record], runs: Runs) -> list[Part]:
    wanted = [{**document, "runs": runs[document["doc_id"]]} for document in documents if document["doc_id"] in runs]
    jobs = plan_jobs(wanted, plan.origin.settings.shard_pages, plan.origin.key)
    pages = sum(end - first for own in runs.values() for first, end in own)
    if jobs:
        with timed(plan.stages, "pages", pages, "page"):
            run_jobs(jobs, plan.out, plan.origin.settings)
    return [Part(plan.out, job["name"]) for job in jobs]


def _revise(plan: Plan, tasks: list[dict[str, Any]]) -> None:
    settings = plan.origin.settings
    pages = sum(len(task["reasons"]) for task in tasks)
    if not tasks:
        return
    stream = in_threads if pages < IN_THREADS_PAGES else on_ray
    work = partial(revise, settings.model_dump_json(), str(plan.out))
    with timed(plan.stages, "revision", pages, "page"), Progress("revision", pages, "page") as progress:
        for result in stream([json.dumps(task) for task in tasks], work, settings.workers):
            progress.advance(int(result["pages"]))


def _bring(part: Part, out: Folder) -> Part:
    """`part` in folder `out`; its facts come last, as when it was written."""
    if part.folder != out:
        for kind in (*part.listed(), FACT_SHARDS):
            out.bring(f"{kind}/{part.name}", part.folder)
    return Part(out, part.name)
