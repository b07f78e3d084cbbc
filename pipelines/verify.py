"""`corpus verify`: recompute every digest and count of a corpus."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus import read_manifest
from pipelines.schema import corpus_digest, page_id, row_digest
from pipelines.shards import file_sha256, shard_names


def verify(path: Path) -> list[str]:
    """One line for each mismatch between the corpus's manifest and its files; empty when all agree.

    Raises:
        UsageError: there is no complete corpus in `path`, or it is of another schema version.
    """
    manifest = read_manifest(path)
    problems: list[str] = []
    for kind in ("pages", "quarantine"):
        listed = {entry["name"]: entry for entry in manifest["shards"][kind]}
        there = shard_names(path / kind)
        problems += [f"{kind}/{name}: not in the manifest" for name in there if name not in listed]
        for name, entry in listed.items():
            file = path / kind / name
            if name not in there:
                problems.append(f"{kind}/{name}: missing")
            elif file_sha256(file) != entry["sha256"]:
                problems.append(f"{kind}/{name}: sha256 differs from the manifest's")
    digests, seen, totals = _pages(path, [entry["name"] for entry in manifest["shards"]["pages"]], problems)
    problems += [f"page {page} is stored {count} times" for page, count in seen.items() if count > 1]
    expected = manifest["totals"]
    problems += [
        f"{name}: {count}, the manifest says {expected[name]}"
        for name, count in totals.items()
        if count != expected[name]
    ]
    if corpus_digest(digests) != manifest["corpus_digest"]:
        problems.append("corpus digest differs from the manifest's")
    documents = expected["documents"]
    if documents["found"] != documents["taken"] + documents["filtered"] + documents["quarantined"]:
        problems.append("documents found are not those taken, filtered and quarantined")
    return problems


def _pages(path: Path, names: list[str], problems: list[str]) -> tuple[list[str], Counter[str], dict[str, int]]:
    digests: list[str] = []
    seen: Counter[str] = Counter()
    words = 0
    for name in names:
        try:
            for batch in pq.ParquetFile(path / "pages" / name).iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    digests.append(row_digest(row))
                    seen[row["page_id"]] += 1
                    words += len(row["words"])
                    if row["page_id"] != page_id(row["doc_id"], row["page_index"]):
                        problems.append(f"pages/{name}: page_id {row['page_id']} is not that of its document and page")
        except (pa.ArrowInvalid, OSError) as error:
            problems.append(f"pages/{name}: cannot be read ({' '.join(str(error).split())[:120]})")
    return digests, seen, {"pages": len(digests), "words": words}
