"""The manifest: the one commit point of a corpus, written only when every document is accounted for."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.corpus.parts import FILE_SHARDS, KINDS, QUARANTINE_SHARDS, Part
from pipelines.corpus.reader import MANIFEST, READERS, open_parquet
from pipelines.corpus.shards import as_table, write_table
from pipelines.corpus.tally import FACT_COLUMNS, QUARANTINE_COLUMNS, Tally
from pipelines.folders.folder import Folder
from pipelines.pages.rows import quarantine_row
from pipelines.quarantine import DropError, Reason
from pipelines.schema import QUARANTINE, SCHEMA_VERSION, corpus_digest
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import Record, distinct

# One row a file that the sources hold, documents or not: what `corpus update` recognises files by and reads them again
# with. `record` is the inventory's, as JSON.
FILES = pa.schema([("uri", pa.string()), ("doc_id", pa.string()), ("reason", pa.string()), ("record", pa.string())])


@dataclass(frozen=True)
class Origin:
    """What a corpus is made from.

    Attributes:
        settings: of the build.
        sources: the SOURCEs, in the order they were given.
        kept_out: digest of the evaluation pages' text, empty without.
        records: the inventory of every file found.
        version: of the manifest, 1 for a build and one more with each update.
    """

    settings: CorpusSettings
    sources: Sequence[str]
    kept_out: str
    records: Sequence[Record]
    version: int = 1

    @property
    def configuration(self) -> dict[str, Any]:
        """What says which rows there are and what they hold, sources apart, as plain JSON values."""
        return configuration(self.settings, self.kept_out)

    @property
    def digest(self) -> str:
        """Hex sha256 of the canonical JSON of `configuration`."""
        return digest_of(self.configuration)

    @property
    def key(self) -> str:
        """What goes into the names of new shards; limits too for an update, which may be there to change them."""
        limits = self.settings.limits.model_dump(mode="json") if self.version > 1 else None
        return digest_of([self.configuration, self.version, limits])


def configuration(settings: CorpusSettings, kept_out: str) -> dict[str, Any]:
    """The settings and versions that a corpus follows from; the evaluation pages by their digest, not their place."""
    return {**settings.row_settings(), **settings.filter_settings(), "keep_out": kept_out}


def digest_of(value: Any) -> str:
    """Hex sha256 of the canonical JSON of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_manifest(
    out: Folder,
    origin: Origin,
    parts: Sequence[Part],
    stages: Mapping[str, Any],
    still_ours: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Check the account of `parts`, all of them in `out`, write manifest.json, and return it.

    Raises:
        JobError: a document or page is not accounted for, or `still_ours` says that another run has had the folder
            since; nothing is written then.
    """
    documents, duplicates, others = distinct(origin.records)
    tally = Tally()
    shards: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    ordered = sorted(parts, key=lambda part: part.name)
    with ThreadPoolExecutor(READERS) as pool:
        for facts, lines in pool.map(lambda part: part.account(FACT_COLUMNS), ordered):
            tally.add_facts(facts)
            for kind, listed in lines.items():
                shards[kind].append(listed)
    whole = [_document_row(document, origin.settings) for document in documents if document["reason"]]
    for kind, table in ((QUARANTINE_SHARDS, as_table(whole, QUARANTINE)), (FILE_SHARDS, _files(origin.records))):
        if len(table):
            name = f"part-documents-{digest_of(table.to_pylist())[:16]}.parquet"
            shards[kind].append(write_table(out / kind, name, table))
    quarantine = out / QUARANTINE_SHARDS
    for listed in shards[QUARANTINE_SHARDS]:
        tally.add_quarantine(open_parquet(quarantine, listed["name"]).read(list(QUARANTINE_COLUMNS)))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "version": origin.version,
        "corpus_digest": corpus_digest(tally.digests),
        "configuration": origin.configuration,
        "configuration_digest": origin.digest,
        "fingerprint": origin.settings.fingerprint(),
        "settings": origin.settings.model_dump(mode="json"),
        "sources": list(origin.sources),
        "totals": tally.totals(documents, duplicates, others),
        "duplicates": {key: sorted(uris) for key, uris in sorted(duplicates.items())},
        "stages": dict(stages),
        "shards": {kind: sorted(listed, key=lambda one: one["name"]) for kind, listed in shards.items()},
    }
    still_ours()
    commit(out, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest


def commit(out: Folder, manifest: str) -> None:
    """From here on `out` holds the corpus of this manifest; until then, that of the one before, or none."""
    out.write_text(MANIFEST, manifest)


def read_records(corpus: Folder, manifest: Mapping[str, Any]) -> list[Record]:
    """The inventory of every file that the corpus was made from."""
    records: list[Record] = []
    for listed in manifest["shards"][FILE_SHARDS]:
        table = open_parquet(corpus / FILE_SHARDS, listed["name"]).read(["record"])
        records += [json.loads(text) for text in table["record"].to_pylist()]
    return records


def _files(records: Sequence[Record]) -> pa.Table:
    rows = [
        {**{name: record[name] for name in ("uri", "doc_id", "reason")}, "record": json.dumps(record, sort_keys=True)}
        for record in records
    ]
    return as_table(rows, FILES)


def _document_row(document: Record, settings: CorpusSettings) -> dict[str, Any]:
    drop = DropError(Reason(document["reason"]), document["detail"])
    return quarantine_row(document, None, "open", drop, 0.0, settings.ocr)
