"""Articles of one to three pages: title, abstract, two justified columns, sections, a figure, references."""

import random
from collections.abc import Iterator
from itertools import chain

from pipelines.synthetic.flow import paragraph, set_line, wrap
from pipelines.synthetic.marks import bar_chart, line_chart
from pipelines.synthetic.phrases import SCIENCE, SECTIONS, TITLES
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.style import Style, draw_style
from pipelines.synthetic.writer import Writer

GUTTER = 20.0
FIGURE_LINES = 9

# What a column holds, line by line: a style of line and its text.
Line = tuple[str, str]


def draw_article(rng: random.Random) -> list[Sheet]:
    """The pages of one article."""
    writer = Writer(rng)
    # The lines of staggered columns stand half a leading apart, which keeps them apart only if the leading is wide.
    staggered = rng.random() < 0.4
    style = draw_style(rng, small_pages=False, rotated=0.05, leading=1.58 if staggered else 1.2)
    pages = rng.choices([1, 2, 3], [5, 3, 2])[0]
    width = (style.inner - GUTTER) / 2
    lines: Iterator[Line] = _body(writer, style, width)
    sheets = []
    for number in range(1, pages + 1):
        sheet = style.sheet()
        y = _front(sheet, style, writer) if number == 1 else _running_head(sheet, style, writer, number)
        for column in range(2):
            x = style.margin + column * (width + GUTTER)
            start = y + (style.leading / 2 if staggered and column else 0.0)
            end = style.bottom
            if number == pages and column:
                end = start + (style.bottom - start) * rng.uniform(0.45, 1.0)
            left = _column(sheet, style, writer, x, start, end, width, lines, last=number == pages and column == 1)
            lines = chain(left, lines)
        sheet.text(style.width / 2, style.height - 22, str(number), style.family.regular, 8, "centre")
        sheets.append(sheet)
    return sheets


def _front(sheet: Sheet, style: Style, writer: Writer) -> float:
    """Title, authors and abstract over both columns; returns the first baseline of the columns."""
    family, size, leading = style.family, style.size, style.leading
    title = writer.pick(TITLES)
    y = style.margin + 16
    y = paragraph(
        sheet, style.margin, y, title[0].upper() + title[1:], family.bold, 16, style.inner, 20, align="centre"
    )
    names = [writer.person() for _ in range(writer.rng.randint(1, 4))]
    y += 4
    sheet.text(style.width / 2, y, ", ".join(names), family.regular, size + 1, "centre")
    y += 1.3 * leading
    sheet.text(style.width / 2, y, writer.fill("{city} Institute of {company_trade}"), family.italic, size, "centre")
    y += 2 * leading
    inset = 0.08 * style.inner
    abstract = "Abstract. " + writer.sentences(SCIENCE, writer.rng.randint(3, 5))
    width = style.inner - 2 * inset
    return (
        paragraph(sheet, style.margin + inset, y, abstract, family.italic, size - 0.5, width, leading, True)
        + 1.5 * leading
    )


def _running_head(sheet: Sheet, style: Style, writer: Writer, number: int) -> float:
    y = style.margin - 8
    sheet.text(style.margin, y, writer.fill("{last_name} et al."), style.family.italic, style.size - 1)
    sheet.text(style.right, y, writer.fill("Vol. {number}, {year}"), style.family.italic, style.size - 1, "right")
    sheet.rule(style.margin, y + 5, style.right, y + 5, 0.4)
    return y + 5 + 2 * style.leading


def _body(writer: Writer, style: Style, width: float) -> Iterator[Line]:
    """Lines of sections without end."""
    number = figure = 0
    while True:
        for name in SECTIONS:
            number += 1
            yield "heading", f"{number} {name}"
            for _ in range(writer.rng.randint(1, 3)):
                text = writer.sentences(SCIENCE, writer.rng.randint(3, 7))
                lines = wrap(text, style.family.regular, style.size, width, indent=10)
                yield from [("first", lines[0]), *(("full", line) for line in lines[1:-1]), ("last", lines[-1])]
            if writer.rng.random() < 0.25:
                figure += 1
                caption = writer.sentences(["{adjective} and {adjective} {things}."], 1)
                yield "figure", f"Fig. {figure}. {caption}"


def _column(
    sheet: Sheet,
    style: Style,
    writer: Writer,
    x: float,
    y: float,
    end: float,
    width: float,
    lines: Iterator[Line],
    last: bool,
) -> list[Line]:
    """Fill one column from baseline `y` down to `end`, ending with references in the last one.

    Returns:
        The heading that is left for the next column, if any.
    """
    family, size, leading = style.family, style.size, style.leading
    references = 9 if last else 0
    start, left = y, list[Line]()
    while y + references * leading <= end:
        kind, text = next(lines)
        if kind == "heading":
            if y + (references + 3) * leading > end:
                left = [(kind, text)]
                break
            y += leading if y > start else 0.0
            sheet.text(x, y, text, family.bold, size)
        elif kind == "first":
            set_line(sheet, x + 10, y, text, family.regular, size, width - 10)
        elif kind == "full":
            set_line(sheet, x, y, text, family.regular, size, width)
        elif kind == "last":
            sheet.text(x, y, text, family.regular, size)
        elif y + (references + FIGURE_LINES + 1) * leading <= end:
            chart = writer.rng.choice([bar_chart, line_chart])
            chart(sheet, writer.rng, x + 14, y, width - 28, (FIGURE_LINES - 2.2) * leading)
            y += (FIGURE_LINES - 1) * leading
            sheet.text(x, y, text, family.italic, size - 0.5)
            y += leading
        else:  # no room for the figure
            continue
        y += leading
    if last:
        y += leading
        sheet.text(x, y, "References", family.bold, size)
        y += leading
        for number in range(1, 4):
            work = writer.sentences(["{subject} and {things}.", "{things} of {subject}."], 1)
            text = writer.fill(f"[{number}] {{initials}} ({{year}}). {work}")
            for line in wrap(text, family.regular, size - 0.5, width)[:2]:
                sheet.text(x, y, line, family.regular, size - 0.5)
                y += leading
    return left
