"""The manifest: the one commit point of a corpus, written only when every document is accounted for."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.corpus import MANIFEST
from pipelines.errors import JobError
from pipelines.inventory import Record
from pipelines.schema import SCHEMA_VERSION, corpus_digest, row_digest
from pipelines.settings import CorpusSettings
from pipelines.shards import file_sha256, shard_names, write_text


def shard_entry(path: Path) -> dict[str, Any]:
    """Name, rows and sha256 of a shard."""
    return {"name": path.name, "rows": pq.read_metadata(path).num_rows, "sha256": file_sha256(path)}


def account(documents: Sequence[Record], pages: Mapping[str, int], dropped: Mapping[str, int]) -> dict[str, int]:
    """Documents found, taken, filtered and quarantined, and pages likewise.

    Args:
        documents: the inventory's distinct documents.
        pages: taken pages of each doc_id.
        dropped: quarantined pages of each doc_id.

    Raises:
        JobError: a document or page is in no column, or in two.
    """
    taken = 0
    for document in documents:
        done = pages.get(document["doc_id"], 0) + dropped.get(document["doc_id"], 0)
        if not document["reason"] and done != document["pages"]:
            raise JobError(
                f"{document['uri']}: {done} of {document['pages']} pages are accounted for; run again with --resume, "
                "and report this if it stays"
            )
        taken += pages.get(document["doc_id"], 0) > 0
    return {"found": len(documents), "taken": taken, "filtered": 0, "quarantined": len(documents) - taken}


def write_manifest(
    out: Path,
    settings: CorpusSettings,
    documents: Sequence[Record],
    duplicates: Mapping[str, list[str]],
    others: int,
    stages: Mapping[str, Any],
) -> dict[str, Any]:
    """Check the account of everything in `out`, write manifest.json, and return it; raises JobError as `account`."""
    digests: list[str] = []
    words = 0
    pages: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for name in shard_names(out / "pages"):
        for batch in pq.ParquetFile(out / "pages" / name).iter_batches(batch_size=64):
            for row in batch.to_pylist():
                digests.append(row_digest(row))
                pages[row["doc_id"]] += 1
                sources[row["text_source"]] += 1
                words += len(row["words"])
    dropped: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for name in shard_names(out / "quarantine"):
        for row in pq.read_table(out / "quarantine" / name, columns=["doc_id", "page_index", "reason"]).to_pylist():
            reasons[row["reason"]] += 1
            if row["page_index"] is not None:
                dropped[row["doc_id"]] += 1
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "corpus_digest": corpus_digest(digests),
        "fingerprint": settings.fingerprint(),
        "settings": settings.model_dump(mode="json"),
        "row_settings": settings.row_settings(),
        "totals": {
            "documents": account(documents, pages, dropped),
            "pages": len(digests),
            "quarantined_pages": sum(dropped.values()),
            "words": words,
            "text_sources": dict(sorted(sources.items())),
            "quarantine_reasons": dict(sorted(reasons.items())),
            "duplicate": sum(map(len, duplicates.values())),
            "not-pdf": others,
        },
        "duplicates": {key: sorted(uris) for key, uris in sorted(duplicates.items())},
        "stages": dict(stages),
        "shards": {
            kind: [shard_entry(out / kind / name) for name in shard_names(out / kind)]
            for kind in ("pages", "quarantine")
        },
    }
    write_text(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest
