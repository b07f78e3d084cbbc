"""What the sources hold: identity, kind and page count of each document, duplicates and other files counted apart."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipelines.pages.isolation import PageReader, twice
from pipelines.quarantine import DropError, Reason
from pipelines.sources.address import SourceFile
from pipelines.sources.archives import read_document
from pipelines.sources.limits import SourceLimits
from pipelines.sources.places import place_of
from pipelines.sources.sniff import PDF_HEAD, sniff

Record = dict[str, Any]
UNKNOWN = "unknown"  # kind of what could not be read and counts as a document all the same
READ_WHOLE = 1 << 20  # bytes up to which a file of any name is read at once


def inspect(file: SourceFile, reader: PageReader, limits: SourceLimits | None = None) -> Record:
    """Read one file: its sha256, kind, page count, or why it is not taken.

    Returns:
        The fields of `file`, made exact by reading it, and doc_id, kind (empty: no document), pages, reason and detail
        (empty when fine).
    """
    limits = limits or SourceLimits()
    record: Record = {**asdict(file), "doc_id": "", "kind": "", "pages": 0}
    if file.other:
        return record
    try:
        if _is_other(file, limits):
            return record
        exact, data = read_document(file, limits, reader.limits.max_bytes)
    except OSError as error:
        # Unreadable: only its name can say whether it is a document, or that somebody named it.
        kind = sniff(file.name, b"") or (UNKNOWN if file.named else "")
        return record | {"kind": kind, "reason": str(Reason.UNREADABLE), "detail": str(error.strerror or error)}
    except DropError as error:
        return record | {"kind": sniff(file.name, b"") or UNKNOWN, "reason": str(error.reason), "detail": error.detail}
    kind = sniff(file.name, data) or ""
    digest = hashlib.sha256(data).hexdigest()
    record |= asdict(exact) | {"doc_id": digest, "kind": kind, "size": len(data)}
    if file.sha256 and file.sha256 != digest:
        # No identity: it must not stand for a healthy file of the same content.
        detail = f"sha256 is {digest}, not {file.sha256}"
        return record | {"doc_id": "", "kind": kind or UNKNOWN, "reason": str(Reason.DIGEST_MISMATCH), "detail": detail}
    if not kind:
        return record
    try:
        return record | {"pages": twice(lambda: reader.open(data, kind))}
    except DropError as error:
        return record | {"reason": str(error.reason), "detail": error.detail}


def _is_other(file: SourceFile, limits: SourceLimits) -> bool:
    """Whether the first bytes of a large file already tell that it is no document."""
    if file.reason or file.packing or file.size <= READ_WHOLE or file.sha256 or sniff(file.name, b""):
        return False
    return not sniff(file.name, place_of(file.path, limits).read(file.path, file.offset, PDF_HEAD))


def full_name(record: Mapping[str, Any]) -> str:
    """A file's uri, with its name in the archive where it is in one."""
    return f"{record['uri']}::{record['member']}" if record.get("member") else str(record["uri"])


def distinct(records: Iterable[Record]) -> tuple[list[Record], dict[str, list[str]], int]:
    """The documents, each content once under its first place; the other names of each; how many files are none."""
    documents: dict[str, Record] = {}
    duplicates: dict[str, list[str]] = {}
    others = 0
    for record in sorted(records, key=lambda record: SourceFile.of(record).place):
        if not record["kind"]:
            others += 1
            continue
        key = record["doc_id"] or f"unreadable {SourceFile.of(record).place}"
        if key in documents:
            duplicates.setdefault(key, []).append(full_name(record))
        else:
            documents[key] = record
    return list(documents.values()), duplicates, others


def plan_jobs(documents: Sequence[Mapping[str, Any]], shard_pages: int, key: str = "") -> list[Record]:
    """Jobs of about equal size, one shard each: every page of every readable document in exactly one.

    A job is a name and units (document, first page, end page). The plan depends on the documents, `shard_pages` and
    `key` (what else the shards depend on) alone, so an interrupted build finds its finished shards by their names.
    Small corpora get small jobs, so that workers share them evenly; a long document is spread over several jobs. A
    document with `runs` (pairs of first and end page) is read there only.
    """
    readable = [document for document in documents if not document["reason"]]
    total = sum(end - first for document in readable for first, end in _runs(document))
    size = min(shard_pages, max(8, total // 64))
    jobs: list[Record] = []
    units: list[Record] = []
    room = size
    for document, first, last in ((one, *run) for one in readable for run in _runs(one)):
        while first < last:
            end = min(last, first + room)
            units.append({**document, "first": first, "end": end})
            room -= end - first
            first = end
            if room == 0:
                jobs.append(_job(units, key))
                units, room = [], size
    if units:
        jobs.append(_job(units, key))
    return jobs


def _runs(document: Mapping[str, Any]) -> Sequence[tuple[int, int]]:
    return document.get("runs") or [(0, document["pages"])]


def _job(units: list[Record], key: str) -> Record:
    text = key + "\n".join(f"{unit['doc_id']}:{unit['first']}:{unit['end']}" for unit in units)
    return {"name": f"part-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet", "units": units}
