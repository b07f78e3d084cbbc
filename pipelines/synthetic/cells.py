"""A table set on a page: column widths from the text in them, in one of four looks."""

import random
from dataclasses import dataclass, field

from pipelines.synthetic.flow import wrap
from pipelines.synthetic.fonts import Family, text_width
from pipelines.synthetic.sheet import BLACK, WHITE, Colour, Sheet

LOOKS = ("grid", "rules", "bands", "bare")
Row = list[str]


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        headers: one a column.
        aligns: one letter a column: l, r or c.
        rows: the body; a cell may be empty, and may hold a line break.
        totals: rows below the body, in bold.
    """

    headers: Row
    aligns: str
    rows: list[Row]
    totals: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class TableLook:
    """How a table is set; sizes in points."""

    look: str
    family: Family
    size: float
    padding: float
    accent: Colour

    @property
    def leading(self) -> float:
        """From baseline to baseline inside a cell."""
        return self.size * 1.2


def draw_look(rng: random.Random, family: Family, size: float, accent: Colour) -> TableLook:
    """A random look around the given fonts."""
    return TableLook(rng.choice(LOOKS), family, size, rng.choice([1.5, 2.5, 4.0, 5.0]), accent)


def draw_table(sheet: Sheet, x: float, y: float, width: float, table: Table, look: TableLook) -> float:
    """Set the table with its top at `y`; returns the y below its last row."""
    look = _shrunk(table, look, width)
    edges = _edges(table, look, x, width)
    right = edges[-1]
    start = y
    solid = look.look in ("grid", "bands") and look.accent != BLACK
    y = _row(sheet, edges, y, table.headers, table.aligns, look, bold=True, back=look.accent if solid else None)
    if look.look != "bare":
        sheet.rule(x, y, right, y, 0.8)
    for place, row in enumerate(table.rows):
        back = (0.92, 0.92, 0.92) if look.look == "bands" and place % 2 else None
        y = _row(sheet, edges, y, row, table.aligns, look, bold=False, back=back)
        if look.look == "grid":
            sheet.rule(x, y, right, y, 0.4)
    if table.totals and look.look != "grid":
        sheet.rule(x, y, right, y, 0.8)
    for row in table.totals:
        y = _row(sheet, edges, y, row, table.aligns, look, bold=True, back=None)
    if look.look in ("grid", "rules"):
        sheet.rule(x, y, right, y, 0.8)
        sheet.rule(x, start, right, start, 0.8)
    if look.look == "grid":
        for edge in edges:
            sheet.rule(edge, start, edge, y, 0.4)
    return y


def row_height(look: TableLook, lines: int = 1) -> float:
    """Height of a row whose tallest cell has `lines` lines."""
    return 1.45 * look.size + (lines - 1) * look.leading + 2 * look.padding


def _natural(table: Table, look: TableLook) -> list[float]:
    """Width that each column needs, with space on its sides."""
    gap = max(2 * look.padding, look.size)
    bold, regular = look.family.bold, look.family.regular
    rows = [(table.headers, bold), *((row, regular) for row in table.rows), *((row, bold) for row in table.totals)]
    return [
        gap + max(text_width(line, font, look.size) for row, font in rows for line in row[column].split("\n"))
        for column in range(len(table.headers))
    ]


def _shrunk(table: Table, look: TableLook, width: float) -> TableLook:
    """The look with a font small enough for the table to fit `width`."""
    while sum(_natural(table, look)) > width and look.size > 5:
        look = TableLook(look.look, look.family, look.size - 0.5, min(look.padding, 3.0), look.accent)
    return look


def _edges(table: Table, look: TableLook, x: float, width: float) -> list[float]:
    natural = _natural(table, look)
    spare = max(0.0, width - sum(natural)) / len(natural)
    edges = [x]
    for need in natural:
        edges.append(edges[-1] + need + spare)
    return edges


def _row(
    sheet: Sheet,
    edges: list[float],
    y: float,
    row: Row,
    aligns: str,
    look: TableLook,
    *,
    bold: bool,
    back: Colour | None,
) -> float:
    """One row; lines of a cell stand under each other from the row's top."""
    font = look.family.bold if bold else look.family.regular
    height = row_height(look, max(cell.count("\n") + 1 for cell in row))
    if back is not None:
        sheet.fill(edges[0], y, edges[-1], y + height, back)
    ink = WHITE if back is not None and sum(back) < 1.5 else BLACK
    baseline = y + look.padding + 1.1 * look.size
    inset = max(look.padding, look.size / 2)
    for column, cell in enumerate(row):
        left, right = edges[column], edges[column + 1]
        anchor = {"l": left + inset, "r": right - inset, "c": (left + right) / 2}[aligns[column]]
        align = {"l": "left", "r": "right", "c": "centre"}[aligns[column]]
        for line, text in enumerate(cell.split("\n")):
            if text:
                sheet.text(anchor, baseline + line * look.leading, text, font, look.size, align, colour=ink)
    return y + height


def broken(text: str, font: str, size: float, width: float) -> str:
    """`text` with line breaks so that it is no wider than `width`."""
    return "\n".join(wrap(text, font, size, width))
