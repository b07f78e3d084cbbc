"""Reading: jobs of pages to parts, in Ray's worker processes; pictures never travel between processes."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.corpus.facts import decided, facts_of
from pipelines.corpus.parts import FACT_SHARDS, Part, write_part
from pipelines.filters.decide import describe, page_reasons
from pipelines.folders.address import folder_of
from pipelines.folders.folder import Folder
from pipelines.ocr.pool_ray import ocr_pool
from pipelines.pages.rows import PageMaker, Row, pool_key, quarantine_row
from pipelines.pages.table import page_table
from pipelines.progress import Progress
from pipelines.quarantine import DropError, FilterReason
from pipelines.settings import CorpusSettings
from pipelines.stream import on_ray, start_ray

KEPT_OUT = "index/keep-out.npy"


def run_jobs(jobs: Sequence[Mapping[str, Any]], out: Folder, settings: CorpusSettings) -> int:
    """Do those `jobs` (of `plan_jobs`) whose parts are not in `out` yet; return how many pages all of them hold."""
    total = sum(pages_of(job) for job in jobs)
    done = set(out.names(FACT_SHARDS))  # asking for each would take long in a store
    left = [job for job in jobs if job["name"] not in done]
    not_taken = 0
    with _reading_pool(settings if left else None) as actors, Progress("pages", total, "page") as progress:
        work = partial(read_job, settings.model_dump_json(), str(out), actors)
        progress.start_at(total - sum(pages_of(job) for job in left))
        for result in on_ray([json.dumps(job) for job in left], work, settings.workers, queued=True):
            not_taken += int(result["not_taken"])
            progress.advance(int(result["pages"]), f"{not_taken} not taken")
    return total


@contextmanager
def _reading_pool(settings: CorpusSettings | None) -> Iterator[int]:
    """The number of actors that read by OCR for as long as the block lasts: an engine that is worth a GPU has some."""
    if settings is None or settings.ocr != "doctr":
        yield 0
        return
    start_ray()
    options, key = settings.engine_options(), pool_key(settings)
    with ocr_pool(
        key, settings.ocr, options, settings.ocr_actors, settings.ocr_gpus, settings.ocr_batch_pages
    ) as count:
        yield count


def pages_of(job: Mapping[str, Any]) -> int:
    """How many pages a job reads."""
    return sum(unit["end"] - unit["first"] for unit in job["units"])


def read_job(settings_text: str, out: str, actors: int, item: str) -> dict[str, Any]:
    """Read the pages of one job, filter those that are left out for what they are alone, and write the part."""
    job = json.loads(item)
    maker = page_maker(settings_text, actors)
    settings = maker.settings
    rows: list[Row] = []
    dropped: list[Row] = []
    for unit in job["units"]:
        pages, drops = maker.rows(unit)
        rows += pages
        dropped += drops
    pages = page_table(rows)
    facts = facts_of(pages, kept_out_runs(out))
    reasons = page_reasons(facts, settings)
    taken = pages.filter(reasons == "")
    facts = decided(facts, reasons, taken)
    records = {unit["doc_id"]: unit for unit in job["units"]}
    left_out = filter_rows(facts, records, settings)
    write_part(Part(folder_of(out), job["name"]), taken, dropped + left_out, facts)
    return {"pages": pages_of(job), "not_taken": len(dropped) + len(left_out)}


def filter_rows(facts: Any, records: Mapping[str, Mapping[str, Any]], settings: CorpusSettings) -> list[Row]:
    """Quarantine rows of stage `filter` for the pages that were left out; `records` by doc_id say where they are."""
    rows = []
    names = ["doc_id", "page_index", "words", "language", "confidence", "overlap", "filter"]
    for fact in facts.select(names).to_pylist():
        if fact["filter"]:
            drop = DropError(FilterReason(fact["filter"]), describe(fact, fact["filter"], settings), "filter")
            record = records[fact["doc_id"]]
            rows.append(quarantine_row(record, fact["page_index"], drop.stage, drop, 0.0, settings.ocr))
    return rows


@lru_cache(maxsize=1)
def page_maker(settings: str, actors: int) -> PageMaker:
    """This worker process's page maker: its reading child and OCR engine serve all its tasks."""
    return PageMaker(CorpusSettings.model_validate_json(settings), actors)


def kept_out_runs(out: str) -> NDArray[np.uint64]:
    """The runs of the evaluation pages, which the driver left in the output folder: uint64 [R], sorted."""
    folder = folder_of(out)
    return _load(folder, folder.changed(KEPT_OUT)) if folder.exists(KEPT_OUT) else np.empty(0, np.uint64)


@lru_cache(maxsize=1)
def _load(folder: Folder, _: int) -> NDArray[np.uint64]:
    runs: NDArray[np.uint64] = np.load(io.BytesIO(folder.read(KEPT_OUT)))
    return runs
