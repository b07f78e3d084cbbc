"""`corpus update`: a complete corpus takes in new sources and changed settings, and does again only what they touch."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pipelines.building.assemble import Plan, as_runs, assemble, refuse_absent, timed
from pipelines.building.build import check_engine
from pipelines.building.changes import Touches, changed
from pipelines.building.listing import list_files
from pipelines.building.output import UPDATE, clear, only_writer, prepare, read_marker, refuse, refuse_overtaken
from pipelines.building.summary import BuildSummary, summarise
from pipelines.building.survey import again, stamp, survey
from pipelines.corpus.manifest import Origin, configuration, read_records
from pipelines.corpus.parts import FACT_SHARDS, FILE_SHARDS, Part
from pipelines.corpus.reader import MANIFEST, READERS, Corpus, not_listed, read_manifest
from pipelines.errors import UsageError
from pipelines.filters.keep_out import keep_out_runs, runs_digest
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.progress import Progress
from pipelines.quarantine import Reason
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import Record, distinct

# Reasons that other limits, or more time, may do away with.
OF_LIMITS = frozenset({Reason.TIMEOUT, Reason.MEMORY_LIMIT, Reason.TOO_LARGE, Reason.CRASHED})
TEXT_LAYER = "text-layer"


def update(
    corpus: Place, sources: Sequence[str], settings: CorpusSettings, out: Place | None = None, resume: bool = False
) -> BuildSummary:
    """Bring the corpus in folder `corpus` to what a build of its sources and `sources` under `settings` would give.

    A file that the corpus was made from is known by its place, size and time of change and is not read again; one that
    has changed since counts as a further document. Files that are no more stay in the corpus.

    Args:
        corpus: a complete corpus.
        sources: to add; may hold files that are known.
        settings: the new ones, whole.
        out: folder for the new corpus, new or empty; None: in place, under the next manifest version. Readers see the
            old corpus until the new one is complete.
        resume: finish an unfinished update in `out`; in place, a second update takes over the work of a first anyway.

    Raises:
        UsageError: there is no corpus, one of its shards is missing or damaged, a bad source or folder, a page must be
            read again and its file is not there, or another process writes to the folder.
        JobError: the account does not balance, or another run wrote to the folder meanwhile.
    """
    started = time.monotonic()
    corpus = folder_of(corpus)
    read_manifest(corpus)  # there must be one before the other folder is made
    target = folder_of(out) if out is not None else corpus
    with only_writer(target):
        return _update(corpus, target, sources, settings, resume, started)


def _update(
    corpus: Folder, target: Folder, sources: Sequence[str], settings: CorpusSettings, resume: bool, started: float
) -> BuildSummary:
    """`update` into `target`, which nobody else writes to; begun at `started`."""
    before = Corpus.open(corpus).manifest
    if "configuration" not in before:
        raise UsageError(f"{corpus}: made by an earlier program, which noted less; build it again")
    kept_out = keep_out_runs(settings.keep_out)
    wanted: dict[str, Any] = {
        "settings": configuration(settings, runs_digest(kept_out)),
        "sources": list(sources),
        "version": before["version"] + 1,
        "of": before["corpus_digest"],
        "asked": settings.model_dump(mode="json"),
    }
    if target == corpus and resume and read_marker(corpus, UPDATE).get("version") == before["version"]:
        clear(corpus, before)  # it had got as far as the manifest
        return summarise(corpus, before, time.monotonic() - started)
    if target != corpus:
        refuse(target, wanted, UPDATE, resume, overwrite=False)
        if target.exists(MANIFEST):  # only the clearing away was cut off
            clear(target, read_manifest(target))
            return summarise(target, read_manifest(target), time.monotonic() - started)
    stages: dict[str, Any] = {}
    _refuse_damaged(corpus, before)
    old = read_records(corpus, before)
    differ = changed(
        {**before["settings"], **before["configuration"]}, {**settings.model_dump(mode="json"), **wanted["settings"]}
    )
    records = _take_stock(old, sources, settings, Touches.FAILED in differ.values(), stages)
    touches: set[Touches] = {touch for touch in differ.values() if touch != Touches.NOTHING}
    if target == corpus and not touches and records == old:
        clear(corpus, before)
        return summarise(corpus, {**before, "stages": {}}, time.monotonic() - started)
    with Progress("update", None, "setting") as progress:
        for name, touch in differ.items():
            if touch != Touches.NOTHING:
                progress.say(f"{name} has changed: {touch.name.lower().replace('_', ' ')}")
    parts = [Part(corpus, shard["name"]) for shard in before["shards"][FACT_SHARDS]]
    known = {document["doc_id"]: document for document in distinct(old)[0] if not document["reason"]}
    documents = {document["doc_id"]: document for document in distinct(records)[0] if not document["reason"]}
    if Touches.EVERY_PAGE in touches:
        parts, gone, runs = [], set(), {name: [(0, document["pages"])] for name, document in documents.items()}
    else:
        gone = _touched(parts, touches)
        runs = {name: [(0, document["pages"])] for name, document in documents.items() if name not in known}
        runs |= as_runs(gone)
    origin = Origin(
        settings,
        [*before["sources"], *(source for source in sources if source not in before["sources"])],
        runs_digest(kept_out),
        records,
        before["version"] + 1,
    )
    still_ours = partial(refuse_overtaken, target, wanted, UPDATE, before if target == corpus else None)
    plan = Plan(target, origin, runs, kept_out, still_ours, parts, gone, stages=stages)
    plan.relabel = before["fingerprint"] != settings.fingerprint()
    plan.compare = before["configuration"]["keep_out"] != runs_digest(kept_out)
    refuse_absent(plan.origin.records, runs)
    if runs:
        check_engine(settings)
    if target != corpus:
        refuse(target, wanted, UPDATE, resume, overwrite=False)  # a store has no locks, and the reading took a while
    prepare(target, wanted, UPDATE, keep=True)
    try:
        manifest = assemble(plan)
    except UsageError:
        if target == corpus:
            clear(corpus, before)
        raise
    return summarise(target, manifest, time.monotonic() - started)


def _take_stock(
    old: list[Record], sources: Sequence[str], settings: CorpusSettings, failed: bool, stages: dict[str, Any]
) -> list[Record]:
    """The records of all files, old and new; `failed`: those of quarantined documents anew."""
    files = {stamp(file): file for file in (list_files(sources, settings) if sources else [])}
    for record in old:
        files.pop(record["stamp"], None)
    retried = {record["stamp"]: again(record) for record in old if failed and record["reason"]}
    new = [*files.values(), *(file for file in retried.values() if file is not None)]
    if not new:
        return old
    with timed(stages, "inventory", len(new), "document"):
        fresh = survey(new, settings)
    return [record for record in old if retried.get(record["stamp"]) is None] + fresh


def _refuse_damaged(corpus: Folder, manifest: Mapping[str, Any]) -> None:
    """Raise UsageError when what goes into the next manifest unasked, facts and files, is not what this one lists."""

    def check(listed: tuple[str, Mapping[str, Any]]) -> None:
        kind, entry = listed
        file = f"{kind}/{entry['name']}"
        if not corpus.exists(file):
            raise UsageError(f"{corpus}/{file}: missing; restore it, or build the corpus again")
        if corpus.sha256(file) != entry["sha256"]:
            raise not_listed(f"{corpus}/{file}")

    with ThreadPoolExecutor(READERS) as pool:
        shards = [(kind, entry) for kind in (FACT_SHARDS, FILE_SHARDS) for entry in manifest["shards"][kind]]
        list(pool.map(check, shards))


def _touched(parts: Sequence[Part], touches: set[Touches]) -> set[tuple[str, int]]:
    """The earlier pages that are read again."""
    gone: set[tuple[str, int]] = set()
    for part in parts:
        if Touches.OCR_PAGES in touches:
            facts = part.facts(["doc_id", "page_index", "text_source", "scored"]).to_pylist()
            gone |= {_key(fact) for fact in facts if fact["text_source"] != TEXT_LAYER or fact["scored"]}
        if {Touches.OCR_PAGES, Touches.FAILED} & touches:
            for row in part.quarantine().select(["doc_id", "page_index", "stage", "reason"]).to_pylist():
                by_ocr = Touches.OCR_PAGES in touches and row["stage"] == "ocr"
                if by_ocr or (Touches.FAILED in touches and row["reason"] in OF_LIMITS):
                    gone.add(_key(row))
    return gone


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["doc_id"], row["page_index"]
