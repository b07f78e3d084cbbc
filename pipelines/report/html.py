"""The bare page that every report is poured into: escaping, tiles, bars, tables, one self-contained file.

A report opens from disk and asks the network for nothing. Documents are untrusted, so each text goes through `text`,
and a content policy in the page allows only data pictures and the one script whose hash it names.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

# Control characters are not allowed in HTML; direction overrides could make a report lie about what a document says.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    """Return `value` as text that is safe inside an element or a quoted attribute."""
    return html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=True)


@dataclass(frozen=True)
class Section:
    """One part of a report: the fragment its heading answers to, the heading and its HTML."""

    anchor: str
    title: str
    body: str


def tiles(facts: Iterable[tuple[str, Any, str]]) -> str:
    """Return large figures side by side, from (label, value, note) triples; integers get thousands separators."""
    cells = []
    for label, value, note in facts:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        small = f"<small>{text(note)}</small>" if note else ""
        cells.append(f"<div><dt>{text(label)}</dt><dd>{text(shown)}{small}</dd></div>")
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def bars(title: str, counts: Sequence[tuple[str, float]], unit: str, decimals: int = 0) -> str:
    """Return a horizontal bar for each (name, value), the longest full width, the value in words beside it."""
    if not counts:
        return ""
    longest = max(value for _, value in counts) or 1
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th>'
        f'<td><span class="bar" style="--share:{100 * value / longest:.1f}%"></span>'
        f"</td><td class=number>{value:,.{decimals}f} {text(unit)}</td></tr>"
        for name, value in counts
    )
    return f'<table class="bars"><caption>{text(title)}</caption><tbody>{rows}</tbody></table>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = (), caption: str = "") -> str:
    """Return a table; `rows` hold cells that are already HTML, the columns in `numeric` are aligned right."""
    right = set(numeric)

    def cells(values: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{scope}{' class=number' if i in right else ''}>{value}</{tag}>" for i, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    head_row = cells([text(name) for name in head], "th")
    # Focusable, so that a table wider than the window can be scrolled from the keyboard.
    label = text(caption or ", ".join(head))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="rows">{title}'
        f"<thead><tr>{head_row}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return a quiet list of name and value."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
        + "</dl>"
    )


def document(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the whole HTML page: heading, navigation and `sections`, with style and script inside."""
    files = resources.files("pipelines.report")
    style = files.joinpath("report.css").read_text(encoding="utf-8")
    script = files.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    links = "".join(f'<a href="#{text(s.anchor)}">{text(s.title)}</a>' for s in sections)
    body = "".join(
        f'<section id="{text(s.anchor)}" aria-labelledby="{text(s.anchor)}-title">'
        f'<h2 id="{text(s.anchor)}-title">{text(s.title)}</h2>{s.body}</section>'
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{text(title)}</title><style>{style}</style></head>"
        f'<body><a class="skip" href="#main">Skip to content</a><header><h1>{text(title)}</h1>'
        f'<p>{text(subtitle)}</p></header><nav aria-label="Sections">{links}</nav>'
        f'<main id="main">{body}</main><div id="tip" role="status" aria-live="polite" hidden></div>'
        f"<script>{script}</script></body></html>\n"
    )
