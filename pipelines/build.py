"""`corpus build`: sources to a corpus, as two Ray Data jobs: an inventory of documents, then their pages.

Each item of the second job is one shard's work; a worker writes that shard whole and returns a small record, so
pictures never travel between processes. A shard's name follows from its work alone: a retried task writes the same file
again, and `--resume` skips the shards that are there.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.corpus import MANIFEST
from pipelines.errors import JobError, UsageError
from pipelines.inventory import Record, distinct, inspect, plan_jobs
from pipelines.manifest import write_manifest
from pipelines.progress import Progress
from pipelines.quarantine import DropError, Reason
from pipelines.rows import PageMaker, quarantine_row
from pipelines.schema import PAGES, QUARANTINE
from pipelines.settings import CorpusSettings
from pipelines.shards import TEMPORARY, shard_names, write_shard, write_text
from pipelines.sources.local import SourceFile, find_files

UNFINISHED = "build.json"
DOCUMENTS_SHARD = "part-documents.parquet"


@dataclass(frozen=True)
class BuildSummary:
    """What a build did: documents found = taken + filtered + quarantined; pages; seconds of the page stage."""

    out: str
    found: int
    taken: int
    filtered: int
    quarantined: int
    pages: int
    quarantined_pages: int
    words: int
    duplicate: int
    not_pdf: int
    reasons: dict[str, int]
    seconds: float
    corpus_digest: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def build(
    sources: list[str], out: Path, settings: CorpusSettings, resume: bool = False, overwrite: bool = False
) -> BuildSummary:
    """Build the corpus of `sources` in folder `out`.

    Args:
        sources: folders, globs or files.
        out: a new or empty folder, or with `resume` an unfinished build's.
        settings: of the build; workers and limits may change between a build and its resume.
        resume: finish the unfinished build in `out`.
        overwrite: replace the corpus in `out`.

    Raises:
        UsageError: bad sources or folder, or a resume under other settings; nothing is written then.
        JobError: nothing was taken, or the account does not balance.
    """
    started = time.monotonic()
    out = out.absolute()
    files = find_files(sources)
    wanted = {"row_settings": settings.row_settings(), "shard_pages": settings.shard_pages, "sources": sources}
    _refuse(out, wanted, resume, overwrite)
    _check_engine(settings)
    _start_ray()
    records = _inventory(files, settings)
    documents, duplicates, others = distinct(records)
    if not documents:
        raise UsageError(f"{', '.join(sources)}: holds no PDF, PNG, JPEG or TIFF; give a folder of documents")
    _prepare(out, wanted, resume)
    whole = [
        quarantine_row(
            document, None, "open", DropError(Reason(document["reason"]), document["detail"]), 0.0, settings.ocr
        )
        for document in documents
        if document["reason"]
    ]
    _write_quarantine(out, DOCUMENTS_SHARD, whole)
    inventory_seconds = time.monotonic() - started
    page_started = time.monotonic()
    jobs = plan_jobs(documents, settings.shard_pages)
    done = _finished(out, {job["name"] for job in jobs})
    pages = _run_jobs([job for job in jobs if job["name"] not in done], out, settings)
    page_seconds = time.monotonic() - page_started
    stages = {
        "inventory": {"items": len(files), "unit": "document", "seconds": round(inventory_seconds, 3)},
        "pages": {"items": pages, "unit": "page", "seconds": round(page_seconds, 3)},
    }
    manifest = write_manifest(out, settings, documents, duplicates, others, stages)
    (out / UNFINISHED).unlink(missing_ok=True)
    totals = manifest["totals"]
    if not totals["pages"]:
        raise JobError(
            f"{out}: not one page was taken of {len(documents)} documents; see its quarantine for the reasons"
        )
    return BuildSummary(
        out=str(out),
        **totals["documents"],
        pages=totals["pages"],
        quarantined_pages=totals["quarantined_pages"],
        words=totals["words"],
        duplicate=totals["duplicate"],
        not_pdf=totals["not-pdf"],
        reasons=totals["quarantine_reasons"],
        seconds=round(time.monotonic() - started, 1),
        corpus_digest=manifest["corpus_digest"],
    )


def _check_engine(settings: CorpusSettings) -> None:
    """Load the OCR engine once before anything is written: a missing package or weights are the user's to bring."""
    maker = PageMaker(settings)
    try:
        if maker.engine is not None:
            maker.engine.load()
    except DropError as error:
        raise UsageError(f"OCR engine {settings.ocr} cannot be loaded ({error}); use another --ocr") from None
    finally:
        maker.close()


def _refuse(out: Path, wanted: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Raise UsageError when this build may not use folder `out`; nothing is touched."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; give --out a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    unfinished, complete = (out / UNFINISHED).is_file(), (out / MANIFEST).is_file()
    if resume and unfinished:
        _refuse_other_settings(out, wanted)
    elif resume and complete:
        raise UsageError(f"{out}: this corpus is complete; there is nothing to resume")
    elif not (overwrite and (unfinished or complete)):
        ours = "choose another folder, or add --overwrite or --resume"
        remedy = ours if unfinished or complete else "choose another folder"
        raise UsageError(f"{out}: already holds something; {remedy}")


def _prepare(out: Path, wanted: dict[str, Any], resume: bool) -> None:
    """Make `out` ready: keep the finished shards of an unfinished build to resume, else begin anew."""
    if resume and (out / UNFINISHED).is_file():
        for folder in ("pages", "quarantine"):
            for left in (out / folder).glob(f"*{TEMPORARY}"):
                left.unlink()
        return
    (out / MANIFEST).unlink(missing_ok=True)
    for folder in ("pages", "quarantine"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
    write_text(out / UNFINISHED, json.dumps(wanted, indent=1, sort_keys=True) + "\n")


def _finished(out: Path, planned: set[str]) -> set[str]:
    """Shards that an earlier run of this build finished; those of documents that have changed since are removed."""
    for folder in ("pages", "quarantine"):
        for name in set(shard_names(out / folder)) - planned - {DOCUMENTS_SHARD}:
            (out / folder / name).unlink()
    return set(shard_names(out / "pages"))


def _write_quarantine(out: Path, name: str, rows: list[Record]) -> None:
    """Write a shard of the quarantine, or remove what an interrupted run left under its name when there are no rows."""
    if rows:
        write_shard(out / "quarantine", name, rows, QUARANTINE)
    else:
        (out / "quarantine" / name).unlink(missing_ok=True)


def _refuse_other_settings(out: Path, wanted: dict[str, Any]) -> None:
    before = json.loads((out / UNFINISHED).read_text())
    flat_before, flat_wanted = (
        {**d["row_settings"], **{k: d[k] for k in d if k != "row_settings"}} for d in (before, wanted)
    )
    differ = sorted(name for name in flat_wanted if flat_before.get(name) != flat_wanted[name])
    if differ:
        was = ", ".join(f"{name} was {flat_before.get(name)!r}" for name in differ)
        raise UsageError(f"{out}: the unfinished build has other settings ({was}); use those, or add --overwrite")


def _start_ray() -> None:
    import ray
    import ray.data

    if not ray.is_initialized():
        # A cluster only where the environment names one: never another user's that happens to run on this machine.
        address = os.environ.get("RAY_ADDRESS", "local")
        local = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A stage emits an error as a row; whatever still ends a task ends the build, and nothing is dropped.
    context.max_errored_blocks = 0


def _stream(items: list[Any], work: Any, workers: int) -> Iterator[Record]:
    """`work` over `items` as a Ray Data job, results as they come."""
    import ray

    if not items:
        return
    data = ray.data.from_items([{"item": item} for item in items], override_num_blocks=len(items))
    options = {"concurrency": workers} if workers else {}
    yield from data.map(work, num_cpus=1, **options).iter_rows()


def _inventory(files: list[SourceFile], settings: CorpusSettings) -> list[Record]:
    text = settings.model_dump_json()
    groups = [[asdict(file) for file in files[start : start + 16]] for start in range(0, len(files), 16)]

    def work(row: dict[str, Any]) -> dict[str, Any]:
        reader = _maker(text).reader
        return {"records": json.dumps([inspect(SourceFile(**file), reader) for file in json.loads(row["item"])])}

    records: list[Record] = []
    with Progress("inventory", len(files), "file") as progress:
        for result in _stream([json.dumps(group) for group in groups], work, settings.workers):
            some = json.loads(result["records"])
            records += some
            progress.advance(len(some))
    return records


def _run_jobs(jobs: list[Record], out: Path, settings: CorpusSettings) -> int:
    """Run the jobs, write their shards, and return how many pages they held."""
    text = settings.model_dump_json()

    def work(row: dict[str, Any]) -> dict[str, Any]:
        job = json.loads(row["item"])
        maker = _maker(text)
        taken, dropped = [], []
        for unit in job["units"]:
            pages, drops = maker.rows(unit)
            taken += pages
            dropped += drops
        # The shard of pages is written last, also when empty: its being there says that the job is done.
        _write_quarantine(out, job["name"], dropped)
        write_shard(out / "pages", job["name"], taken, PAGES)
        return {"taken": len(taken), "dropped": len(dropped)}

    total = sum(unit["end"] - unit["first"] for job in jobs for unit in job["units"])
    quarantined = 0
    with Progress("pages", total, "page") as progress:
        for result in _stream([json.dumps(job) for job in jobs], work, settings.workers):
            quarantined += int(result["dropped"])
            progress.advance(int(result["taken"]) + int(result["dropped"]), f"{quarantined} quarantined")
    return int(total)


@lru_cache(maxsize=1)
def _maker(settings: str) -> PageMaker:
    """This worker process's page maker: its reading child and OCR engine serve all its tasks."""
    return PageMaker(CorpusSettings.model_validate_json(settings))
