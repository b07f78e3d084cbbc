"""What a corpus will take, from a tenth of it: some pages are read for real, as a build by Ray reads them.

Pages differ a hundredfold in cost, so they are sampled apart by kind: those with a trusted text layer, those of them
that OCR reads too for comparison, and those that OCR must read. Which kind a document's pages are is said by a look at
one of them, which needs no OCR.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from cluster.planning.forecast import (
    KINDS_OF_PAGE,
    CorpusForecast,
    Kind,
    PageCost,
    evenly,
    job_seconds,
    needs_ocr,
    pages_by_kind,
)
from cluster.planning.simulation import BuildModel, simulate_build
from pipelines.building.jobs import KEPT_OUT, page_maker, read_job
from pipelines.building.listing import list_files
from pipelines.corpus.parts import KINDS, Part
from pipelines.corpus.shards import ROW_GROUP_PAGES
from pipelines.errors import UsageError
from pipelines.filters.keep_out import keep_out_runs
from pipelines.folders.address import folder_of
from pipelines.pages.isolation import twice
from pipelines.progress import Progress
from pipelines.quarantine import DropError
from pipelines.settings import CorpusSettings
from pipelines.sources.address import SourceFile
from pipelines.sources.inventory import Record, distinct, inspect, plan_jobs
from pipelines.stream import on_ray, start_ray

# A look at one page of so many documents says what kinds there are to within a few percent.
LOOKED_AT = 5_000
LOOKED_AT_ONCE = 8
# Pages read of one document at a stretch: text is so quick that opening the document counts.
STRETCH = {"text": 2, "compared": 1, "ocr": 1}
FEWEST_PAGES = 12
# Of a command, until it does something.
PROCESS_S = 2.0


def forecast(
    sources: Sequence[str], settings: CorpusSettings, share: float = 0.1, look_at: int = LOOKED_AT
) -> CorpusForecast:
    """Read a sample of `sources` on this machine and say what building all of them here takes.

    Args:
        sources: as of a build.
        settings: of the build.
        share: of the pages that is read, 0..1.
        look_at: documents that are looked at, at most.

    Raises:
        UsageError: bad sources, or no document in them that can be read.
    """
    started = time.monotonic()
    start_ray()
    start_s = time.monotonic() - started
    files = list_files(list(sources), settings)
    chosen = evenly(sorted(files, key=lambda file: (file.size, file.place)), look_at)
    began, looks, first_s = time.monotonic(), [], 0.0
    for look in _look(chosen, settings):
        first_s = first_s or time.monotonic() - began
        looks.append(look)
    scale = len(files) / len(chosen)
    kinds = {look["record"]["doc_id"]: look["kind"] for look in looks if look["kind"]}
    documents = [one for one in distinct([look["record"] for look in looks])[0] if not one["reason"]]
    if not documents:
        raise UsageError(f"{', '.join(sources)}: no document that can be read among the {len(chosen)} looked at")
    pages = pages_by_kind(documents, kinds, settings)
    workers = settings.workers or int(ray.cluster_resources().get("CPU", 1))
    with tempfile.TemporaryDirectory(prefix="docformer-plan-") as folder:
        costs, load_s = _read_sample(pages, settings, share, scale, workers, Path(folder))
    inventory_s = statistics.fmean(look["seconds"] for look in looks)
    start_s += first_s + PROCESS_S
    model = BuildModel(
        workers_a_node=workers,
        # Engines are loaded twice: once to see that they can be, and by each worker.
        start_s=start_s + len(files) * inventory_s / workers + (2 * load_s if costs["ocr"].pages else 0.0),
        job_overhead_s=0.1,
        driver_s=0.003,
        finish_s=1.0,
    )
    jobs = job_seconds(documents, kinds, costs, settings.shard_pages, scale)
    return CorpusForecast(
        files=len(files),
        documents=len(documents) * scale,
        costs=costs,
        inventory_s=inventory_s,
        load_s=load_s,
        start_s=start_s,
        workers=workers,
        seconds=simulate_build(jobs, 1, model),
        corpus_bytes=sum(cost.pages * cost.taken * cost.page_bytes for cost in costs.values()),
        measuring_s=time.monotonic() - started,
    )


def _look(files: Sequence[SourceFile], settings: CorpusSettings) -> Iterator[dict[str, Any]]:
    """For each file its record, "text" or "ocr" where a page could be looked at, and the seconds of its inventory."""
    items = [
        json.dumps([asdict(file) for file in files[at : at + LOOKED_AT_ONCE]])
        for at in range(0, len(files), LOOKED_AT_ONCE)
    ]
    with Progress("looking", len(files), "file") as progress:
        for result in on_ray(items, partial(_look_at, settings.model_dump_json()), settings.workers):
            looks = json.loads(result["looks"])
            progress.advance(len(looks))
            yield from looks


def _look_at(settings: str, item: str) -> dict[str, Any]:
    maker, looks = page_maker(settings, 0), []
    for values in json.loads(item):
        started = time.monotonic()
        record = inspect(SourceFile(**values), maker.reader, maker.settings.source_limits)
        look = {"record": record, "kind": "", "seconds": time.monotonic() - started}
        if record["kind"] and not record["reason"]:
            try:
                trusted = twice(partial(maker.reader.read, record["pages"] // 2)).text_layer_trusted
                look["kind"] = "ocr" if maker.engine is not None and needs_ocr(maker.settings, trusted) else "text"
            except DropError:
                look["kind"] = "text"  # not taken either way, and soon done
        looks.append(look)
    return {"looks": json.dumps(looks)}


def _read_sample(
    pages: Mapping[Kind, Sequence[tuple[Record, int]]],
    settings: CorpusSettings,
    share: float,
    scale: float,
    workers: int,
    folder: Path,
) -> tuple[dict[Kind, PageCost], float]:
    """Costs of each kind from `share` of all pages, half of them at most those of OCR, and seconds of loading."""
    warm, real = folder / "warm", folder / "real"
    for place in (warm, real):
        for part in KINDS:
            (place / part).mkdir(parents=True, exist_ok=True)
        if settings.keep_out:
            np.save(place / KEPT_OUT, keep_out_runs(settings.keep_out))
    wanted = max(FEWEST_PAGES, round(share * sum(map(len, pages.values()))))
    ocr = min(len(pages["ocr"]), max(wanted // 2, wanted - len(pages["text"])))
    counts = {"ocr": ocr, "compared": min(len(pages["compared"]), FEWEST_PAGES // 2), "text": wanted - ocr}
    jobs = {kind: _jobs(pages[kind], counts[kind], STRETCH[kind], kind) for kind in KINDS_OF_PAGE}
    # What loads an engine once must not count for every page: each worker reads one of these before.
    first = [*jobs["ocr"][:workers], *jobs["compared"][:workers], *jobs["text"][:workers]]
    done: dict[str, dict[str, Any]] = {}
    total = sum(len(some) for some in jobs.values()) + len(first)
    with Progress("sample", total, "job") as progress:

        def read(some: Sequence[Record], out: Path) -> dict[str, dict[str, Any]]:
            found, work = {}, partial(_timed, settings.model_dump_json(), str(out))
            for result in on_ray([json.dumps(job) for job in some], work, settings.workers):
                found[result["name"]] = result
                progress.advance()
            return found

        cold = read(first, warm)
        for kind in KINDS_OF_PAGE:  # apart: pages of OCR would slow those of text beside them
            done |= read(jobs[kind], real)
    load_s = max((cold[name]["seconds"] - done[name]["seconds"] for name in cold), default=0.0)
    costs = {kind: _cost(kind, jobs[kind], done, len(pages[kind]) * scale, real) for kind in KINDS_OF_PAGE}
    return costs, max(0.0, load_s)


def _jobs(pages: Sequence[tuple[Record, int]], count: int, stretch: int, name: str) -> list[Record]:
    """Jobs that read `count` of `pages` at equal distances, `stretch` pages of a document at a time."""
    jobs: dict[tuple[str, int], Record] = {}
    for document, page in evenly(pages, -(-count // stretch)):
        first = max(0, min(page, document["pages"] - stretch))
        end = min(document["pages"], first + stretch)
        (job,) = plan_jobs([{**document, "runs": [(first, end)]}], end - first, name)
        jobs[document["doc_id"], first] = job
    return list(jobs.values())


def _timed(settings: str, folder: str, item: str) -> dict[str, Any]:
    started, cpu_s = time.monotonic(), _cpu_seconds()
    result = read_job(settings, folder, 0, item)
    return {
        **{**result, "name": json.loads(item)["name"]},
        **{"seconds": time.monotonic() - started, "cpu_s": max(0.0, _cpu_seconds() - cpu_s)},
    }


def _cpu_seconds() -> float:
    """Processor time of this worker and of the children that read for it."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _cost(
    kind: Kind, jobs: Sequence[Record], done: Mapping[str, Mapping[str, Any]], pages: float, folder: Path
) -> PageCost:
    read = sum(done[job["name"]]["pages"] for job in jobs)
    if not read:
        return PageCost(pages, 0, 0.0, 0.0, 1.0, 0.0)
    parts = [Part(folder_of(folder), job["name"]) for job in jobs]
    taken = pa.concat_tables([part.pages() for part in parts])
    facts = pa.concat_tables([part.facts().replace_schema_metadata(None) for part in parts])
    on_disk = sum(map(_parquet_bytes, (taken, facts)))  # as shards of usual size: a small one is mostly frame
    return PageCost(
        pages=pages,
        read=read,
        seconds=sum(done[job["name"]]["seconds"] for job in jobs) / read,
        cpu_s=sum(done[job["name"]]["cpu_s"] for job in jobs) / read,
        taken=len(taken) / read,
        page_bytes=on_disk / max(1, len(taken)),
    )


def _parquet_bytes(table: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=ROW_GROUP_PAGES, compression="zstd")
    return int(sink.getvalue().size) if len(table) else 0
