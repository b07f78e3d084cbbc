"""Letters and short contracts: letterhead, address, paragraphs, numbered clauses, signature."""

import random

from pipelines.synthetic.flow import paragraph, wrap
from pipelines.synthetic.marks import logo, signature
from pipelines.synthetic.phrases import BUSINESS, CLAUSES, CLOSINGS
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.style import Style, draw_style
from pipelines.synthetic.writer import Writer


def draw_letter(rng: random.Random) -> list[Sheet]:
    """One page: a letter, or one time in three an agreement."""
    writer = Writer(rng)
    style = draw_style(rng)
    sheet = style.sheet()
    if rng.random() < 0.33:
        y = _agreement_body(sheet, style, writer)
        _signatures(sheet, style, writer, min(y + 2 * style.leading, style.bottom - 3 * style.leading))
    else:
        _letter(sheet, style, writer)
    return [sheet]


def _letter(sheet: Sheet, style: Style, writer: Writer) -> None:
    rng, family, size, leading = writer.rng, style.family, style.size, style.leading
    y = style.margin + 14
    indent = logo(sheet, rng, style.margin, style.margin, 30, style.accent)
    sheet.text(style.margin + indent, y, writer.company(), family.bold, 14, colour=style.accent)
    y += 8 + leading
    sheet.text(style.margin + indent, y, ", ".join(writer.address()), family.regular, size - 1)
    y += 3 * leading
    for line in [writer.person(), writer.company(), *writer.address()]:
        sheet.text(style.margin, y, line, family.regular, size)
        y += leading
    y += leading
    city = writer.fill("{city}")
    sheet.text(style.right, y, f"{city}, {writer.date()}", family.regular, size, "right")
    y += 2 * leading
    sheet.text(
        style.margin,
        y,
        writer.pick(["Re: {thing} {code}", "Your order of {date}", "Subject: {service}"]),
        family.bold,
        size,
    )
    y += 2 * leading
    greeting = rng.choice(
        ["Dear Mr. {last_name},", "Dear Ms. {last_name},", "Dear {first_name},", "To whom it may concern:"]
    )
    sheet.text(style.margin, y, writer.fill(greeting), family.regular, size)
    y += 2 * leading
    justify = rng.random() < 0.4
    for _ in range(rng.randint(2, 5)):
        text = writer.sentences(BUSINESS, rng.randint(2, 5))
        if y + (len(wrap(text, family.regular, size, style.inner)) + 6) * leading > style.bottom:
            break
        y = paragraph(sheet, style.margin, y, text, family.regular, size, style.inner, leading, justify) + 0.7 * leading
    if rng.random() < 0.35 and y + 11 * leading < style.bottom:
        for _ in range(rng.randint(2, 4)):
            sheet.text(style.margin + 14, y, "•", family.regular, size)
            sheet.text(
                style.margin + 26, y, writer.fill("{number} {things} {verb_past} in {month}"), family.regular, size
            )
            y += leading
        y += 0.7 * leading
    sheet.text(style.margin, y, rng.choice(CLOSINGS), family.regular, size)
    signature(sheet, rng, style.margin + 5, y + 2.4 * leading, 90)
    sheet.text(style.margin, y + 3.6 * leading, writer.person(), family.regular, size)
    sheet.text(style.margin, y + 4.6 * leading, writer.fill("{department}, {company_stem}"), family.italic, size)


def _agreement_body(sheet: Sheet, style: Style, writer: Writer) -> float:
    rng, family, size, leading = writer.rng, style.family, style.size, style.leading
    y = style.margin + 16
    title = rng.choice(
        ["AGREEMENT", "LEASE AGREEMENT", "SUPPLY CONTRACT", "MUTUAL NON-DISCLOSURE AGREEMENT", "SERVICE TERMS"]
    )
    sheet.text(style.width / 2, y, title, family.bold, 14, "centre")
    y += 3 * leading
    opening = writer.fill(
        "This agreement is made on {date} between {company}, {city}, and {company}, {city}, who agree as follows."
    )
    y = paragraph(sheet, style.margin, y, opening, family.regular, size, style.inner, leading) + leading
    number = 0
    while True:
        number += 1
        text = writer.sentences(CLAUSES, rng.randint(1, 4))
        lines = wrap(text, family.regular, size, style.inner - 24)
        if y + (len(lines) + 5) * leading > style.bottom or number > 11:
            return y
        sheet.text(style.margin, y, f"{number}.", family.bold, size)
        y = paragraph(sheet, style.margin + 24, y, text, family.regular, size, style.inner - 24, leading, True)
        y += 0.8 * leading


def _signatures(sheet: Sheet, style: Style, writer: Writer, y: float) -> None:
    """Two parties sign beside each other."""
    half = style.inner / 2
    for place in range(2):
        x = style.margin + place * (half + 10)
        if writer.rng.random() < 0.7:
            signature(sheet, writer.rng, x + 10, y, 80)
        sheet.rule(x, y, x + half - 30, y)
        sheet.text(x, y + style.leading, writer.person(), style.family.regular, style.size)
        sheet.text(x, y + 2 * style.leading, f"Date: {writer.date()}", style.family.regular, style.size)
