"""Settling a corpus: which pages are taken once all facts are known, which parts that changes, what must be read."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.corpus.parts import Part
from pipelines.corpus.reader import READERS
from pipelines.filters.decide import all_reasons, page_reasons
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import Record

PageKey = tuple[str, int]
FACT_COLUMNS = ("doc_id", "page_index", "words", "confidence", "language", "overlap", "filter", "digest")


@dataclass(frozen=True)
class Settled:
    """The outcome.

    Attributes:
        kept: parts that stay as they are.
        tasks: of `revise`, one for each part that changes and keeps anything.
        missing: pages that are to be taken and are not stored: read them, and settle again.
    """

    kept: list[Part]
    tasks: list[dict[str, Any]]
    missing: set[PageKey]


@dataclass(frozen=True)
class Earlier:
    """What a change does to the parts of an earlier corpus.

    Attributes:
        parts: all of them.
        gone: their pages that are read again.
        relabel: whether labels or fingerprint of the others change.
        overlaps: newly measured overlaps of a part's pages with the evaluation pages, float32 or null, one a fact; None
            when those are the same.
    """

    parts: frozenset[Part]
    gone: set[PageKey]
    relabel: bool
    overlaps: Callable[[Part], pa.Array] | None


def settle(
    parts: Sequence[Part], earlier: Earlier, settings: CorpusSettings, records: Mapping[str, Record], key: str
) -> Settled:
    """Settle `parts`, those of the earlier corpus and those just read.

    Args:
        parts: all that hold pages of the corpus to be.
        earlier: what changes for those that are not new.
        settings: the new ones.
        records: of the documents, by doc_id.
        key: says what else the revised parts depend on; it goes into their names.
    """
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(partial(_facts, earlier=earlier, settings=settings), parts))
    if not tables:
        return Settled([], [], set())
    facts = pa.concat_tables(tables)
    here = facts.filter(~_flags(facts, "gone"))
    reasons, stored = all_reasons(here, settings), here["digest"].is_valid().to_numpy()
    unknown = (page_reasons(here, settings) == "") & np.isnan(here["overlap"].to_numpy())
    unread = here.filter(~stored & ((reasons == "") | unknown))
    missing = set(zip(unread["doc_id"].to_pylist(), unread["page_index"].to_pylist(), strict=True))
    decided = np.full(len(facts), "", object)
    decided[~_flags(facts, "gone")] = reasons
    kept, tasks = [], []
    start = 0
    for part, table in zip(parts, tables, strict=True):
        mine = decided[start : start + len(table)]
        start += len(table)
        task = _task(part, table, mine, earlier, records)
        if task is None:
            kept.append(part)
        elif task["gone"] is not None:
            text = json.dumps({name: task[name] for name in task if name not in ("folder", "records")}, sort_keys=True)
            task["new"] = f"part-{hashlib.sha256((key + text).encode()).hexdigest()[:16]}.parquet"
            tasks.append(task)
    return Settled(kept, tasks, missing)


def _facts(part: Part, earlier: Earlier, settings: CorpusSettings) -> pa.Table:
    columns = [*FACT_COLUMNS]
    columns += ["signature"] if settings.near_duplicates else []
    columns += ["text_key"] if settings.drop_duplicates else []
    facts = part.facts(columns).replace_schema_metadata(None)
    gone = np.zeros(len(facts), bool)
    if part in earlier.parts:
        gone = _among(facts, earlier.gone)
        if earlier.overlaps is not None:
            at = facts.schema.get_field_index("overlap")
            facts = facts.set_column(at, facts.schema.field(at), earlier.overlaps(part))
    return facts.append_column("gone", pa.array(gone))


def _task(
    part: Part, facts: pa.Table, reasons: NDArray[np.object_], earlier: Earlier, records: Mapping[str, Record]
) -> dict[str, Any] | None:
    """The task that brings `part` up to date, None when it is; `gone` is None when nothing of it stays."""
    gone = facts.filter(_flags(facts, "gone")).select(["doc_id", "page_index"])
    stays = ~_flags(facts, "gone")
    changed = (reasons != facts["filter"].to_numpy())[stays].any()
    if part in earlier.parts:
        failed = part.quarantine().select(["doc_id", "page_index", "stage"]) if earlier.gone else None
        if failed is not None:
            failed_gone = failed.filter(_among(failed, earlier.gone)).select(["doc_id", "page_index"])
            if len(gone) == len(facts) and len(failed_gone) == len(failed):
                return {"gone": None}
            gone = pa.concat_tables([gone, failed_gone.cast(gone.schema)])
        changed = changed or len(gone) > 0 or earlier.relabel or earlier.overlaps is not None
    if not changed:
        return None
    overlap = facts["overlap"].to_pylist() if part in earlier.parts and earlier.overlaps is not None else None
    left_out = set(facts.filter(reasons != "")["doc_id"].to_pylist())
    return {
        **{"folder": str(part.folder), "old": part.name, "reasons": reasons.tolist(), "overlap": overlap},
        "relabel": part in earlier.parts and earlier.relabel,
        "gone": sorted(zip(gone["doc_id"].to_pylist(), gone["page_index"].to_pylist(), strict=True)),
        "records": {doc_id: records[doc_id] for doc_id in left_out},
    }


def _among(table: pa.Table, pages: set[PageKey]) -> NDArray[np.bool_]:
    if not pages:
        return np.zeros(len(table), bool)
    keys = zip(table["doc_id"].to_pylist(), table["page_index"].to_pylist(), strict=True)
    return np.array([key in pages for key in keys], bool)


def _flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    values: NDArray[np.bool_] = table[name].to_numpy()
    return values
