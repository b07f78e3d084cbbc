"""One page's picture under its words, lines, grid and reading order, as a self-contained HTML figure."""

import base64
import io
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from PIL import Image

from pipelines.report.html import text

MAX_WORDS = 4000  # a page drawn in full costs about 100 bytes a word; more than this only fills the screen
GOLDEN_ANGLE = 137.508  # degrees: neighbouring line ids get hues far apart, for any number of lines


def page_figure(row: Mapping[str, Any], grid_rows: int, grid_columns: int, picture_bytes: int) -> str:
    """Return an HTML figure of `row`, a page with the contract's columns.

    The overlay's frame is 1,000 units wide, as the stored boxes are, and as high as the page's shape asks for.

    Args:
        row: one row of `pages`; boxes are x0, y0, x1, y1 in 0..1000, origin top-left.
        grid_rows: rows of the grid that the row's `grid_cells` count in, row-major from 0.
        grid_columns: its columns.
        picture_bytes: largest size of the embedded JPEG; a larger one is scaled down to fit.
    """
    shape = row["height"] / row["width"] if row["width"] else 1.0
    words = min(len(row["words"]), MAX_WORDS)
    lines = len(set(row["line_ids"]))
    name = row["source"].get("member") or row["source"]["uri"]
    about = f"{len(row['words']):,} words, {lines:,} lines, {row['text_source']}"
    if row.get("language"):
        about += f", {row['language']}"
    if words < len(row["words"]):
        about += f" (first {words:,} words drawn)"
    picture = base64.b64encode(_fit(row["image"], picture_bytes)).decode()
    title = f"{name}, page {row['page_index'] + 1} of {row['page_count']}"
    return (
        f'<figure><div class="sheet"><img alt="" loading="lazy" src="data:image/jpeg;base64,{picture}" '
        f'width="{int(row["image_width"])}" height="{int(row["image_height"])}">'
        f'<svg viewBox="0 0 1000 {1000 * shape:.0f}" preserveAspectRatio="none" tabindex="0" role="img" '
        f'aria-label="{text(title)}: {text(about)}">'
        f"{_words(row, words, shape)}{_grid(grid_rows, grid_columns, shape)}{_order(row, words, shape)}</svg></div>"
        f"<figcaption><span><strong>{text(title)}</strong>{text(about)}</span>"
        '<button type="button" data-enlarge aria-pressed="false">Enlarge</button></figcaption>'
        f"<details><summary>Text, line by line</summary>{_transcript(row, words)}</details></figure>"
    )


def _words(row: Mapping[str, Any], count: int, shape: float) -> str:
    """Return each word's box, grouped by line; a group's hue is its line's."""
    by_line: dict[int, list[int]] = defaultdict(list)
    for index in range(count):
        by_line[int(row["line_ids"][index])].append(index)
    groups = []
    for line, members in by_line.items():
        rects = []
        for index in members:
            x0, y0, x1, y1 = (int(v) for v in row["boxes"][index])
            confidence = float(row["confidence"][index])
            sure = "" if confidence >= 1 else f' data-p="{confidence:.2f}"'
            rects.append(
                f'<rect x="{x0}" y="{y0 * shape:.0f}" width="{max(1, x1 - x0)}" '
                f'height="{max(1.0, (y1 - y0) * shape):.0f}" data-i="{index}" '
                f'data-c="{int(row["grid_cells"][index])}"{sure} data-w="{text(row["words"][index])}"/>'
            )
        left, top = (min(int(row["boxes"][i][k]) for i in members) for k in (0, 1))
        right, bottom = (max(int(row["boxes"][i][k]) for i in members) for k in (2, 3))
        hue = line * GOLDEN_ANGLE % 360
        groups.append(
            f'<g class="w" data-line="{line}" style="--h:{hue:.0f}">{"".join(rects)}'
            f'<rect class="l" x="{left - 3}" y="{top * shape - 2:.0f}" width="{right - left + 6}" '
            f'height="{(bottom - top) * shape + 4:.0f}"/></g>'
        )
    return "".join(groups)


def _grid(rows: int, columns: int, shape: float) -> str:
    """Return the grid's inner borders and each cell's number in its top-left corner."""
    height = 1000 * shape
    across = [f"M0 {height * r / rows:.0f}H1000" for r in range(1, rows)]
    down = [f"M{1000 * c / columns:.0f} 0V{height:.0f}" for c in range(1, columns)]
    numbers = [
        f'<text class="n" x="{1000 * c / columns + 8:.0f}" y="{height * r / rows + 32:.0f}">{r * columns + c}</text>'
        for r in range(rows)
        for c in range(columns)
    ]
    return f'<g class="grid"><path class="g" fill="none" d="{"".join(across + down)}"/>{"".join(numbers)}</g>'


def _order(row: Mapping[str, Any], count: int, shape: float) -> str:
    """Return a path through the words' centres in reading order, with a dot where it starts."""
    if not count:
        return ""
    centres = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2 * shape) for b in row["boxes"][:count]]
    path = "L".join(f"{x:.0f} {y:.0f}" for x, y in centres)
    x, y = centres[0]
    return (
        f'<g class="order"><path class="o" d="M{path}"/><circle class="o-start" cx="{x:.0f}" cy="{y:.0f}" r="9"/></g>'
    )


def _transcript(row: Mapping[str, Any], count: int) -> str:
    """Return the page's text as a list, one item a visual line and numbered by line id."""
    by_line: dict[int, list[str]] = defaultdict(list)
    for index in range(count):
        by_line[int(row["line_ids"][index])].append(row["words"][index])
    items = "".join(
        f'<li value="{line}" dir="auto">{text(" ".join(words))}</li>' for line, words in sorted(by_line.items())
    )
    return f'<ol class="transcript" tabindex="0">{items}</ol>'


def _fit(jpeg: bytes, limit: int) -> bytes:
    """Return `jpeg`, or the largest of a few smaller versions that fits into `limit` bytes."""
    if len(jpeg) <= limit:
        return jpeg
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    data = jpeg
    for scale, quality in ((1.0, 60), (0.75, 60), (0.5, 60), (0.35, 50), (0.2, 40), (0.1, 30)):
        size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
        buffer = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
        data = buffer.getvalue()
        if len(data) <= limit:
            break
    return data
