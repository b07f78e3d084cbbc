"""`corpus verify`: recompute every digest and count of a corpus."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.building.output import BUILD, UPDATE
from pipelines.corpus.digests import row_digests
from pipelines.corpus.manifest import read_records
from pipelines.corpus.parts import FACT_SHARDS, KINDS, PAGE_SHARDS, QUARANTINE_SHARDS
from pipelines.corpus.reader import open_parquet, read_manifest
from pipelines.corpus.shards import shard_names
from pipelines.corpus.tally import FACT_COLUMNS, QUARANTINE_COLUMNS, Tally
from pipelines.errors import JobError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.schema import PAGES, corpus_digest, page_id
from pipelines.sources.inventory import distinct

COLUMNS = ["page_id", "doc_id", "page_index"]


def verify(path: Place) -> list[str]:
    """One line for each mismatch between the corpus's manifest and its files; empty when all agree.

    Raises:
        UsageError: there is no complete corpus in `path`, or it is of another schema version.
    """
    corpus = folder_of(path)
    manifest = read_manifest(corpus)
    unfinished = any(corpus.exists(marker) for marker in (BUILD, UPDATE))
    why = "of a run that was cut off: finish it with --resume" if unfinished else "not in the manifest"
    problems: list[str] = []
    for kind in KINDS:
        listed = {entry["name"]: entry for entry in manifest["shards"].get(kind, ())}
        there = shard_names(corpus / kind)
        problems += [f"{kind}/{name}: {why}" for name in there if name not in listed]
        for name, entry in listed.items():
            if name not in there:
                problems.append(f"{kind}/{name}: missing")
            elif kind != PAGE_SHARDS and corpus.sha256(f"{kind}/{name}") != entry["sha256"]:
                problems.append(_other(kind, name))
    digests = _pages(corpus, manifest, problems)
    if corpus_digest(digests) != manifest["corpus_digest"]:
        problems.append("corpus digest differs from the manifest's")
    try:
        problems += _counts(corpus, manifest, digests)
    except JobError as error:
        problems.append(str(error))
    except (pa.ArrowException, OSError, KeyError) as error:
        problems.append(f"cannot be counted ({_short(error)})")
    return problems


def _pages(corpus: Folder, manifest: Mapping[str, Any], problems: list[str]) -> list[str]:
    """The digests of all pages as they are stored; adds what is wrong with one or with its shard."""
    digests: list[str] = []
    seen: Counter[str] = Counter()
    for entry in manifest["shards"][PAGE_SHARDS]:
        try:
            data = (corpus / PAGE_SHARDS).read(entry["name"])  # whole: digest and rows by one reading
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                problems.append(_other(PAGE_SHARDS, entry["name"]))
            file = pq.ParquetFile(pa.BufferReader(data))
            if not file.schema_arrow.equals(PAGES):
                problems.append(f"pages/{entry['name']}: its columns are not those of pages")
                continue
            for batch in file.iter_batches(batch_size=64):
                digests += row_digests(pa.Table.from_batches([batch]))
                for row in batch.select(COLUMNS).to_pylist():
                    seen[row["page_id"]] += 1
                    if row["page_id"] != page_id(row["doc_id"], row["page_index"]):
                        problems.append(f"pages/{entry['name']}: {row['page_id']} is not of its document and page")
        except FileNotFoundError:  # listed as missing already
            continue
        except (pa.ArrowException, OSError) as error:
            problems.append(f"pages/{entry['name']}: cannot be read ({_short(error)})")
    problems += [f"page {page} is stored {count} times" for page, count in seen.items() if count > 1]
    return digests


def _other(kind: str, name: str) -> str:
    return f"{kind}/{name}: sha256 differs from the manifest's"


def _counts(corpus: Folder, manifest: Mapping[str, Any], digests: list[str]) -> list[str]:
    """Mismatches of the totals, counted anew; `digests` are those of the pages as stored."""
    tally = Tally()
    for entry in manifest["shards"][FACT_SHARDS]:
        tally.add_facts(open_parquet(corpus / FACT_SHARDS, entry["name"]).read(list(FACT_COLUMNS)))
    for entry in manifest["shards"][QUARANTINE_SHARDS]:
        tally.add_quarantine(open_parquet(corpus / QUARANTINE_SHARDS, entry["name"]).read(list(QUARANTINE_COLUMNS)))
    problems = [] if sorted(tally.digests) == sorted(digests) else ["the pages are not those that the index lists"]
    for name, count in tally.totals(*distinct(read_records(corpus, manifest))).items():
        if json.loads(json.dumps(count)) != manifest["totals"][name]:
            problems.append(f"{name}: {count}, the manifest says {manifest['totals'][name]}")
    return problems


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
