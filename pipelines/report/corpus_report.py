"""A corpus as one HTML file: what was found and taken, pages under their labels, what was left out and why."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.folders.local import LocalFolder
from pipelines.report.html import Section, bars, document, facts, table, text, tiles
from pipelines.report.overlay import page_figure

if TYPE_CHECKING:
    from pipelines.corpus.reader import Corpus

PICTURES_BYTES = 5_500_000  # all embedded JPEGs together, before base64 adds a third: the file stays below 10 MB
QUARANTINE_ROWS = 400
TOGGLES = (
    ("show-words", "Words", True),
    ("show-lines", "Lines", False),
    ("show-grid", "Grid", True),
    ("show-order", "Reading order", False),
    ("hide-picture", "Hide picture", False),
)


def write_report(corpus: "Corpus", out: Path, pages: int = 24) -> Path:
    """Write the report of `corpus` to the file `out` and return its path.

    The file is self-contained, below 10 MB, and appears by atomic rename.

    Args:
        corpus: an opened corpus.
        out: the HTML file; its folder is created.
        pages: number of page pictures, chosen across text sources, documents and languages; the choice depends on the
            corpus's content only.
    """
    manifest = corpus.manifest
    subtitle = f"{manifest.get('totals', {}).get('pages', '')} pages, corpus digest {corpus.digest}".lstrip()
    return save(document(f"Corpus report: {corpus.path.name}", subtitle, corpus_sections(corpus, pages)), out)


def save(page: str, out: Path) -> Path:
    """Write `page` to `out` by atomic rename, so that a reader never sees half a report."""
    out = Path(out)
    LocalFolder(out.parent).write(out.name, page.encode("utf-8", errors="replace"))
    return out


def corpus_sections(corpus: "Corpus", pages: int) -> list[Section]:
    """Return the report's three parts: totals, page pictures, quarantine."""
    light = list(corpus.rows(columns=["page_id", "doc_id", "page_index", "words", "text_source", "language"]))
    quarantine = list(corpus.quarantine_rows())
    chosen = choose_pages(light, pages)
    return [
        Section("corpus", "Corpus", _totals(corpus.manifest, light, quarantine)),
        Section("pages", "Pages", _pages(corpus, chosen)),
        Section("quarantine", "Quarantine", _quarantine(quarantine)),
    ]


def choose_pages(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Return up to `count` page ids, taking turns between (text source, language) groups and, in each, documents.

    Within a group the order is a hash of the page id, so that equal corpora show equal pages; a document's second page
    comes only after every document of its group had a first.
    """
    strata: dict[tuple[str, str], list[tuple[int, bytes, str]]] = defaultdict(list)
    seen: Counter[tuple[str, str, str]] = Counter()
    for page_id, row in sorted((hashlib.sha256(r["page_id"].encode()).digest(), r) for r in _distinct(rows)):
        stratum = (row["text_source"], row["language"])
        nth = seen[(*stratum, row["doc_id"])]
        seen[(*stratum, row["doc_id"])] += 1
        strata[stratum].append((nth, page_id, row["page_id"]))
    queues = [sorted(strata[key]) for key in sorted(strata)]
    turns = max(map(len, queues), default=0)
    return [queue[turn][2] for turn in range(turns) for queue in queues if turn < len(queue)][:count]


def _distinct(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return iter({row["page_id"]: row for row in rows}.values())


def _totals(
    manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], quarantine: Sequence[Mapping[str, Any]]
) -> str:
    totals = manifest.get("totals", {})
    documents = totals.get("documents", {})
    taken = documents.get("taken", len({row["doc_id"] for row in rows}))
    filtered = documents.get("filtered", 0)
    dropped = documents.get("quarantined", sum(1 for q in quarantine if q["page_index"] is None))
    words = sum(len(row["words"]) for row in rows)
    figures = tiles(
        [
            ("Documents found", documents.get("found", taken + filtered + dropped), "taken + filtered + quarantined"),
            ("Taken", taken, ""),
            ("Filtered", filtered, ""),
            ("Quarantined", dropped, ""),
            ("Pages", len(rows), f"{len(rows) / taken:.1f} a document" if taken else ""),
            ("Pages filtered", totals.get("filtered_pages", 0), ""),
            ("Words", words, f"{words / len(rows):.0f} a page" if rows else ""),
        ]
    )
    sources = Counter(row["text_source"] for row in rows).most_common()
    languages = Counter(row["language"] or "not identified" for row in rows).most_common(12)
    speeds = _speeds(manifest)
    parts = [bars("Text source", sources, "pages"), bars("Language", languages, "pages")]
    if speeds:
        parts.append(bars("Stage speed", speeds, "a second", 1))
    build = facts(
        (name, value)
        for name, value in (
            ("Corpus digest", manifest.get("corpus_digest", "")),
            ("Fingerprint", manifest.get("fingerprint", "")),
            ("Schema version", manifest.get("schema_version", "")),
            ("Build time", f"{totals['seconds']:.1f} s" if "seconds" in totals else ""),
        )
        if value != ""
    )
    return f'{figures}<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div><h3>Build</h3>{build}'


def _speeds(manifest: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return (stage and unit, units a second) of each stage that the manifest timed."""
    return [
        (f"{name}, {stage['unit']}s", stage["items"] / stage["seconds"])
        for name, stage in manifest["stages"].items()
        if stage["seconds"] > 0
    ]


def _pages(corpus: "Corpus", chosen: Sequence[str]) -> str:
    if not chosen:
        return "<p>The corpus has no page.</p>"
    settings = corpus.manifest.get("settings", corpus.manifest.get("configuration", {}))
    grid_rows, grid_columns = int(settings.get("grid_rows", 4)), int(settings.get("grid_columns", 4))
    toggles = "".join(
        f'<label><input type="checkbox" data-show="{name}"{" checked" if on else ""}> {label}</label>'
        for name, label, on in TOGGLES
    )
    found = {row["page_id"]: row for row in _fetch(corpus, set(chosen))}
    limit = PICTURES_BYTES // len(chosen)
    figures = "".join(page_figure(found[i], grid_rows, grid_columns, limit) for i in chosen if i in found)
    return (
        f"<p>{len(found)} pages, chosen across text sources, languages and documents. A word's colour is its line's. "
        "Point at a word, or focus a page and use the arrow keys, to read its line, cell and confidence.</p>"
        f'<fieldset class="tools"><legend>Show</legend>{toggles}</fieldset><div class="pages">{figures}</div>'
    )


def _fetch(corpus: "Corpus", page_ids: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the whole rows of `page_ids`, reading only the row groups that hold one."""
    for shard in corpus.shards:
        with shard.open() as file:
            for group in range(file.metadata.num_row_groups):
                ids = file.read_row_group(group, columns=["page_id"])["page_id"].to_pylist()
                wanted = [i for i, page_id in enumerate(ids) if page_id in page_ids]
                if wanted:
                    yield from file.read_row_group(group).take(wanted).to_pylist()


def _quarantine(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>Nothing was left out: every document and page was taken.</p>"
    reasons = Counter(str(row["reason"]) for row in rows if row["stage"] != "filter").most_common()
    filters = Counter(str(row["reason"]) for row in rows if row["stage"] == "filter").most_common()
    body = [
        (
            f'<span class="mono">{text(row["reason"])}</span>',
            text(_name(row["source"])),
            "" if row["page_index"] is None else str(row["page_index"] + 1),
            text(row["stage"]),
            text(row["detail"] or ""),
            "" if row["seconds"] is None else f"{row['seconds']:.2f}",
            f'<span class="command"><code>{text(row["command"] or "")}</code>'
            '<button type="button" data-copy aria-label="Copy the command">Copy</button></span>',
        )
        for row in sorted(rows, key=lambda r: (str(r["reason"]), _name(r["source"]), r["page_index"] or 0))
    ]
    head = ("Reason", "Document", "Page", "Stage", "Detail", "Seconds", "Reproduce with")
    more = f'<p class="note">First {QUARANTINE_ROWS} of {len(body):,} rows.</p>' if len(body) > QUARANTINE_ROWS else ""
    return (
        f'<div class="columns"><div>{bars("Reason", reasons, "rows")}</div>'
        f"<div>{bars('Filter', filters, 'pages')}</div></div><br>"
        f"{table(head, body[:QUARANTINE_ROWS], numeric=(2, 5))}{more}"
    )


def _name(source: Mapping[str, Any] | None) -> str:
    if source is None:
        return ""
    return f"{source['uri']}: {source['member']}" if source.get("member") else str(source["uri"])
