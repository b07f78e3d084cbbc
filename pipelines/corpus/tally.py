"""Counting what a corpus holds, from its facts and its quarantine; and the account that must balance."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import JobError
from pipelines.sources.inventory import Record

FACT_COLUMNS = ("doc_id", "words", "text_source", "language", "digest")
QUARANTINE_COLUMNS = ("doc_id", "page_index", "stage", "reason")


@dataclass
class Tally:
    """Counts over a corpus.

    Attributes:
        taken: pages of each doc_id that were taken.
        filtered: pages of each doc_id that a filter left out.
        quarantined: pages of each doc_id that could not be used.
        words: of all taken pages.
        text_sources: taken pages of each.
        languages: taken pages of each, empty where it could not be told.
        quarantine_reasons: rows of each reason, whole documents too.
        filter_reasons: pages of each.
        digests: of the taken pages' rows.
    """

    taken: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    words: int = 0
    text_sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    quarantine_reasons: Counter[str] = field(default_factory=Counter)
    filter_reasons: Counter[str] = field(default_factory=Counter)
    digests: list[str] = field(default_factory=list)

    def add_facts(self, facts: pa.Table) -> None:
        """Count the taken pages of a table of facts with at least `FACT_COLUMNS`."""
        facts = facts.filter(facts["digest"].is_valid())
        _count(self.taken, facts["doc_id"])
        _count(self.text_sources, facts["text_source"])
        _count(self.languages, facts["language"])
        self.words += pc.sum(facts["words"]).as_py() or 0
        self.digests += facts["digest"].to_pylist()

    def add_quarantine(self, rows: pa.Table) -> None:
        """Count a table of quarantine rows with at least `QUARANTINE_COLUMNS`."""
        left_out = pc.equal(rows["stage"], "filter")
        filtered, failed = rows.filter(left_out), rows.filter(pc.invert(left_out))
        _count(self.filter_reasons, filtered["reason"])
        _count(self.quarantine_reasons, failed["reason"])
        _count(self.filtered, filtered["doc_id"])
        _count(self.quarantined, failed.filter(failed["page_index"].is_valid())["doc_id"])

    def totals(
        self, documents: Sequence[Record], duplicates: Mapping[str, Sequence[str]], others: int
    ) -> dict[str, Any]:
        """The manifest's totals; raises JobError as `account`."""
        return {
            "documents": account(documents, self),
            "pages": self.taken.total(),
            "filtered_pages": self.filtered.total(),
            "quarantined_pages": self.quarantined.total(),
            "words": self.words,
            "text_sources": dict(sorted(self.text_sources.items())),
            "languages": dict(sorted(self.languages.items())),
            "quarantine_reasons": dict(sorted(self.quarantine_reasons.items())),
            "filter_reasons": dict(sorted(self.filter_reasons.items())),
            "duplicate": sum(map(len, duplicates.values())),
            "not-pdf": others,
        }


def account(documents: Iterable[Record], tally: Tally) -> dict[str, int]:
    """Documents found, taken, filtered and quarantined.

    A document with one page taken is taken. Of the others, one that lost a page to a filter is filtered: it could be
    read and was left out by choice. The rest is quarantined.

    Raises:
        JobError: a page of a document is in no column, or in two.
    """
    found = taken = filtered = 0
    for document in documents:
        name = document["doc_id"]
        done = tally.taken[name] + tally.filtered[name] + tally.quarantined[name]
        if done != (0 if document["reason"] else document["pages"]):
            raise JobError(
                f"{document['uri']}: {done} of {document['pages']} pages are accounted for; run again with --resume, "
                "and report this if it stays"
            )
        found += 1
        taken += tally.taken[name] > 0
        filtered += tally.taken[name] == 0 and tally.filtered[name] > 0
    return {"found": found, "taken": taken, "filtered": filtered, "quarantined": found - taken - filtered}


def _count(counter: Counter[str], column: pa.ChunkedArray) -> None:
    for item in column.value_counts().to_pylist():
        counter[item["values"]] += item["counts"]
