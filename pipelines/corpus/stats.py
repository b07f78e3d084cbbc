"""`corpus stats`: what a corpus holds, what it does not and why, and how fast it was built."""

from typing import Any

from pipelines.corpus.reader import read_manifest
from pipelines.folders.address import Place


def stats(path: Place) -> dict[str, Any]:
    """Counts of documents, pages and words, text sources, languages, what was left out and why, each stage's speed.

    Raises:
        UsageError: there is no complete corpus in `path`, or it is of another schema version.
    """
    manifest = read_manifest(path)
    totals = manifest["totals"]
    return {
        "corpus": str(path),
        "documents": totals["documents"],
        "pages": totals["pages"],
        "filtered_pages": totals["filtered_pages"],
        "quarantined_pages": totals["quarantined_pages"],
        "words": totals["words"],
        "text_sources": totals["text_sources"],
        "languages": {name or "not identified": count for name, count in totals["languages"].items()},
        "filter_reasons": totals["filter_reasons"],
        "quarantine_reasons": totals["quarantine_reasons"],
        "duplicate": totals["duplicate"],
        "not-pdf": totals["not-pdf"],
        "shards": len(manifest["shards"]["pages"]),
        "speeds": {
            f"{name}, {stage['unit']}s/s": round(stage["items"] / max(stage["seconds"], 1e-9), 1)
            for name, stage in manifest["stages"].items()
        },
        "version": manifest["version"],
        "sources": manifest["sources"],
        "corpus_digest": manifest["corpus_digest"],
        "configuration_digest": manifest["configuration_digest"],
        "fingerprint": manifest["fingerprint"],
    }
