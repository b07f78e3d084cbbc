"""`corpus build`: sources to a corpus, as two Ray Data jobs: an inventory of documents, then their pages.

Each item of the second job is one shard's work; a worker writes that shard whole and returns a small record, so
pictures never travel between processes. A shard's name follows from its work alone: a retried task writes the same file
again, and `--resume` skips the shards that are there.
"""

import time
from functools import partial
from typing import Any

from pipelines.building.assemble import Plan, assemble, timed
from pipelines.building.listing import list_files
from pipelines.building.output import BUILD, clear, only_writer, prepare, read_marker, refuse, refuse_overtaken
from pipelines.building.summary import BuildSummary, summarise
from pipelines.building.survey import survey
from pipelines.corpus.manifest import Origin, configuration
from pipelines.corpus.reader import MANIFEST, read_manifest
from pipelines.errors import JobError, UsageError
from pipelines.filters.keep_out import keep_out_runs, runs_digest
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.pages.rows import PageMaker
from pipelines.quarantine import DropError
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import distinct


def build(
    sources: list[str], out: Place, settings: CorpusSettings, resume: bool = False, overwrite: bool = False
) -> BuildSummary:
    """Build the corpus of `sources` in folder `out`, on disk or in a store.

    Args:
        sources: folders, globs or files.
        out: a new or empty folder, or with `resume` an unfinished build's.
        settings: of the build; workers and limits may change between a build and its resume.
        resume: finish the unfinished build in `out`.
        overwrite: replace the corpus in `out`.

    Raises:
        UsageError: bad sources or folder, a folder that another process writes to, or a resume under other settings;
            nothing is written then.
        JobError: nothing was taken, the account does not balance, or another run wrote to the folder meanwhile.
    """
    started = time.monotonic()
    out = folder_of(out)
    with only_writer(out):
        return _build(sources, out, settings, resume, overwrite, started)


def _build(
    sources: list[str], out: Folder, settings: CorpusSettings, resume: bool, overwrite: bool, started: float
) -> BuildSummary:
    """`build`, in a folder that nobody else writes to; begun at `started`."""
    kept_out = keep_out_runs(settings.keep_out)
    wanted: dict[str, Any] = {
        "settings": configuration(settings, runs_digest(kept_out)),
        "shard_pages": settings.shard_pages,
        "sources": sources,
    }
    refuse(out, wanted, BUILD, resume, overwrite)
    if resume and read_marker(out, BUILD) and out.exists(MANIFEST):  # only the clearing away was cut off
        manifest = read_manifest(out)
        clear(out, manifest)
        return summarise(out, manifest, time.monotonic() - started)
    files = list_files(sources, settings)
    check_engine(settings)
    stages: dict[str, Any] = {}
    with timed(stages, "inventory", len(files), "document"):
        records = survey(files, settings)
    documents = distinct(records)[0]
    if not documents:
        raise UsageError(f"{', '.join(sources)}: holds no PDF, PNG, JPEG or TIFF; give a folder of documents")
    refuse(out, wanted, BUILD, resume, overwrite)  # a store has no locks, and the inventory took a while
    prepare(out, wanted, BUILD, keep=resume and bool(read_marker(out, BUILD)))
    runs = {document["doc_id"]: [(0, document["pages"])] for document in documents if not document["reason"]}
    origin = Origin(settings, sources, runs_digest(kept_out), records)
    still_ours = partial(refuse_overtaken, out, wanted, BUILD)
    manifest = assemble(Plan(out, origin, runs, kept_out, still_ours, stages=stages))
    if not manifest["totals"]["pages"]:
        raise JobError(
            f"{out}: not one page was taken of {len(documents)} documents; see its quarantine for the reasons"
        )
    return summarise(out, manifest, time.monotonic() - started)


def check_engine(settings: CorpusSettings) -> None:
    """Load the OCR engine once before anything is written: a missing package or weights are the user's to bring."""
    maker = PageMaker(settings)
    try:
        if maker.engine is not None:
            maker.engine.load()
    except DropError as error:
        raise UsageError(f"OCR engine {settings.ocr} cannot be loaded ({error}); use another --ocr") from None
    finally:
        maker.close()
