"""What a build or an update did, in figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.folders.folder import Folder


@dataclass(frozen=True)
class BuildSummary:
    """Documents found = taken + filtered + quarantined; pages, words, reasons; seconds from start to end.

    `read_pages` were read in this run, `revised_pages` rewritten without reading documents.
    """

    out: str
    found: int
    taken: int
    filtered: int
    quarantined: int
    pages: int
    filtered_pages: int
    quarantined_pages: int
    words: int
    duplicate: int
    not_pdf: int
    reasons: dict[str, int]
    filter_reasons: dict[str, int]
    read_pages: int
    revised_pages: int
    seconds: float
    corpus_digest: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def summarise(out: Folder, manifest: Mapping[str, Any], seconds: float) -> BuildSummary:
    """The summary of a run that wrote `manifest` in `out` and took `seconds`."""
    totals, stages = manifest["totals"], manifest["stages"]
    return BuildSummary(
        out=str(out),
        **totals["documents"],
        **{name: totals[name] for name in ("pages", "filtered_pages", "quarantined_pages", "words", "duplicate")},
        not_pdf=totals["not-pdf"],
        reasons=totals["quarantine_reasons"],
        filter_reasons=totals["filter_reasons"],
        read_pages=stages.get("pages", {}).get("items", 0),
        revised_pages=stages.get("revision", {}).get("items", 0),
        seconds=round(seconds, 2),
        corpus_digest=manifest["corpus_digest"],
    )
