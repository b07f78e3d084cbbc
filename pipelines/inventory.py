"""What the sources hold: identity, kind and page count of each document, duplicates and other files counted apart."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.isolation import PageReader, twice
from pipelines.quarantine import DropError, Reason
from pipelines.sources.local import SourceFile
from pipelines.sources.sniff import sniff

Record = dict[str, Any]


def inspect(file: SourceFile, reader: PageReader) -> Record:
    """Read one file: its sha256, kind, page count, or why it is not taken.

    Returns:
        A mapping with uri, path, size, doc_id, kind (None: no document), pages, reason and detail (empty when fine).
    """
    record: Record = {"uri": file.uri, "path": file.path, "size": file.size}
    record |= {"doc_id": "", "kind": "", "pages": 0, "reason": "", "detail": ""}
    try:
        data = file.read()
    except OSError as error:
        # Unreadable: only its name can say whether it is a document.
        kind = sniff(file.uri, b"") or ""
        return record | {"kind": kind, "reason": str(Reason.UNREADABLE), "detail": str(error.strerror or error)}
    kind = sniff(file.uri, data) or ""
    record |= {"doc_id": hashlib.sha256(data).hexdigest(), "kind": kind, "size": len(data)}
    if not kind:
        return record
    try:
        return record | {"pages": twice(lambda: reader.open(data, kind))}
    except DropError as error:
        return record | {"reason": str(error.reason), "detail": error.detail}


def distinct(records: Iterable[Record]) -> tuple[list[Record], dict[str, list[str]], int]:
    """The documents, each content once under its first uri; the further uris of each; how many files are none."""
    documents: dict[str, Record] = {}
    duplicates: dict[str, list[str]] = {}
    others = 0
    for record in sorted(records, key=lambda r: (r["uri"], r["path"])):
        if not record["kind"]:
            others += 1
            continue
        key = record["doc_id"] or f"unreadable {record['path']}"
        if key in documents:
            duplicates.setdefault(key, []).append(record["uri"])
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
    for document, first, last in ((document, *run) for document in readable for run in _runs(document)):
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
