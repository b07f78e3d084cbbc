"""Invoices: sender, addressee, numbers and dates beside each other, items that add up, notes."""

import random

from pipelines.synthetic.cells import Table, TableLook, broken, draw_look, draw_table
from pipelines.synthetic.fonts import text_width
from pipelines.synthetic.marks import logo
from pipelines.synthetic.phrases import NOTES
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.style import Style, draw_style
from pipelines.synthetic.writer import Writer, money


def draw_invoice(rng: random.Random) -> list[Sheet]:
    """One page."""
    writer = Writer(rng)
    # Blocks beside each other stand half a line apart on some pages: lines of their own, so the leading must be wide.
    staggered = rng.random() < 0.3
    style = draw_style(rng, leading=1.55 if staggered else 1.25)
    sheet = style.sheet()
    y = _head(sheet, style, writer)
    shift = style.leading / 2 if staggered else 0.0
    left = _addressee(sheet, style, writer, y)
    right = _numbers(sheet, style, writer, y + shift)
    y = max(left, right) + 0.5 * style.leading
    room = int((style.bottom - y) / (style.leading * 1.8)) - 8
    look = draw_look(rng, style.family, style.size, style.accent)
    table, subtotal = _items(writer, max(1, min(rng.randint(1, 12), room)), look, style)
    y = draw_table(sheet, style.margin, y, style.inner, table, look) + 1.8 * style.leading
    y = _sums(sheet, style, writer, y, subtotal)
    for note in rng.sample(NOTES, rng.randint(1, 4)):
        if y < style.bottom:
            sheet.text(style.margin, y, writer.fill(note), style.family.italic, style.size - 1)
        y += style.leading
    return [sheet]


def _head(sheet: Sheet, style: Style, writer: Writer) -> float:
    """The sender, with a logo or a bar on some pages; returns the baseline for what follows."""
    big = writer.rng.choice([16.0, 18.0, 22.0, 26.0])
    title = writer.rng.choice(
        ["INVOICE", "Invoice", "TAX INVOICE", "Statement", "Order", "Credit note", "Pro forma invoice"]
    )
    name = writer.fill("{company_stem}")
    # Both in one line, with room for a logo.
    big = min(big, (style.inner - 60) / text_width(name + title, style.family.bold, 1.0))
    y = style.margin + big
    indent = logo(sheet, writer.rng, style.margin, style.margin, 1.6 * big, style.accent)
    sheet.text(style.margin + indent, y, name, style.family.bold, big, colour=style.accent)
    sheet.text(style.right, y, title, style.family.bold, big * 0.9, "right")
    y += 0.6 * big + style.leading
    contact = [*writer.address(), f"Tel. {writer.phone()}", writer.email()]
    if writer.rng.random() < 0.5:
        sheet.text(style.margin + indent, y, ", ".join(contact[:2]), style.family.regular, style.size - 0.5)
    else:
        for line in contact:
            sheet.text(style.margin + indent, y, line, style.family.regular, style.size - 0.5)
            y += style.leading
    if writer.rng.random() < 0.5:
        y += style.leading
        sheet.rule(style.margin, y - style.size, style.right, y - style.size, 1.5, style.accent)
    return y + 2 * style.leading


def _addressee(sheet: Sheet, style: Style, writer: Writer, y: float) -> float:
    label = writer.rng.choice(["Bill to:", "Customer", "Invoice to", "Sold to:", "To"])
    sheet.text(style.margin, y, label, style.family.bold, style.size, colour=style.accent)
    lines = [writer.company(), *writer.address()]
    if writer.rng.random() < 0.5:
        lines.insert(1, f"Attn. {writer.person()}")
    for line in lines:
        y += style.leading
        sheet.text(style.margin, y, line, style.family.regular, style.size)
    return y + style.leading


def _numbers(sheet: Sheet, style: Style, writer: Writer, y: float) -> float:
    rows = [
        (writer.rng.choice(["Invoice number", "Invoice No.", "Number"]), writer.code()),
        (writer.rng.choice(["Date", "Invoice date", "Issued"]), writer.date()),
        ("Due date", writer.date()),
        ("Customer no.", writer.code()),
        ("Order", writer.code()),
        ("Contact", writer.person()),
        ("Terms", writer.fill("{number} days net")),
    ]
    chosen = rows[:2] + writer.rng.sample(rows[2:], writer.rng.randint(1, 4))
    colon = writer.rng.choice(["", ":"])
    label = style.margin + 0.56 * style.inner
    for name, value in chosen:
        sheet.text(label, y, name + colon, style.family.bold, style.size)
        sheet.text(style.right, y, value, style.family.regular, style.size, "right")
        y += style.leading
    return y


def _items(writer: Writer, count: int, look: TableLook, style: Style) -> tuple[Table, int]:
    """Items with quantity, price and amount in cents; returns the table and the amounts' sum."""
    body, subtotal = [], 0
    numbered, coded = writer.rng.random() < 0.5, writer.rng.random() < 0.4
    for number in range(1, count + 1):
        quantity, price = writer.rng.randint(1, 40), writer.rng.randint(150, 90_000)
        subtotal += quantity * price
        text = writer.pick(
            ["{colour} {product}", "{product}, {size}", "{material} {product}", "{service}", "{product} and {service}"]
        )
        text = broken(text[0].upper() + text[1:], look.family.regular, look.size, 0.36 * style.inner)
        row = [text, str(quantity), money(price), money(quantity * price)]
        body.append([*([str(number)] if numbered else []), *([writer.code()] if coded else []), *row])
    headers = ["Description", "Quantity", "Unit price", "Amount"]
    headers = [*(["No."] if numbered else []), *(["Item code"] if coded else []), *headers]
    return Table(headers, "r" * numbered + "l" * coded + "lrrr", body), subtotal


def _sums(sheet: Sheet, style: Style, writer: Writer, y: float, subtotal: int) -> float:
    """Subtotal, discount, tax and total, right under the amounts."""
    rows = [("Subtotal", subtotal)]
    if writer.rng.random() < 0.3:
        share = writer.rng.choice([2, 3, 5, 10])
        rows.append((f"Discount {share}%", -(subtotal * share // 100)))
    if writer.rng.random() < 0.4:
        rows.append(("Shipping", writer.rng.randint(400, 4000)))
    rate = writer.rng.choice([0, 5, 7, 8, 19, 20, 21])
    if rate:
        rows.append(
            (f"{writer.rng.choice(['VAT', 'Sales tax', 'Tax'])} {rate}%", sum(value for _, value in rows) * rate // 100)
        )
    label, mark = style.margin + 0.56 * style.inner, writer.currency
    for name, value in rows:
        sheet.text(label, y, name, style.family.regular, style.size)
        sheet.text(style.right, y, money(value), style.family.regular, style.size, "right")
        y += style.leading
    total = sum(value for _, value in rows)
    y += 0.5 * style.leading
    sheet.rule(label, y - style.size * 1.3, style.right, y - style.size * 1.3)
    name = writer.rng.choice(["Total", "Total due", "Balance due", "Amount payable", "TOTAL"])
    sheet.text(label, y, name, style.family.bold, style.size + 1)
    sheet.text(style.right, y, mark + money(total), style.family.bold, style.size + 1, "right")
    return y + 3 * style.leading
