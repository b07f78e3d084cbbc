"""Documents that are mostly tables: sales, stock, time sheets, statements, measurements."""

import random
from collections.abc import Callable

from pipelines.synthetic.cells import Table, draw_look, draw_table, row_height
from pipelines.synthetic.flow import paragraph
from pipelines.synthetic.lexicon import LEXICON
from pipelines.synthetic.phrases import BUSINESS, SCIENCE
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.style import draw_style
from pipelines.synthetic.writer import Writer, money


def draw_tables(rng: random.Random) -> list[Sheet]:
    """One page with a title, a few sentences and one to four tables, as many as it holds."""
    writer = Writer(rng)
    style = draw_style(rng, landscape=0.35)
    sheet = style.sheet()
    family, size = style.family, style.size
    y = style.margin + 16
    sheet.text(style.margin, y, writer.fill("{company}"), family.bold, 15, colour=style.accent)
    sheet.text(style.right, y, writer.date(), family.italic, size, "right")
    y += 2 * style.leading
    for number in range(1, 5):
        rows = rng.randint(4, 22)
        title, table = rng.choice(SUBJECTS)(writer, rows)
        look = draw_look(rng, family, min(size, 9.0), style.accent)
        fits = int((style.bottom - y - 9 * style.leading) / row_height(look))
        if fits < 4:
            break
        if len(table.rows) > fits:
            # The figures must add up, so a table that is too long is made anew rather than cut.
            title, table = rng.choice((_stock, _timetable, _statement))(writer, fits)
        sheet.text(style.margin, y, f"Table {number}. {title}", family.bold, size)
        y += style.leading
        if rng.random() < 0.6:
            text = writer.sentences(rng.choice([BUSINESS, SCIENCE]), rng.randint(1, 2))
            y = paragraph(sheet, style.margin, y, text, family.regular, size, style.inner, style.leading)
        y = draw_table(sheet, style.margin, y - size * 0.3, style.inner, table, look) + style.leading
        if rng.random() < 0.4 and y < style.bottom - 2 * style.leading:
            sheet.text(style.margin, y, writer.fill("Source: {department}, {year}."), family.italic, size - 1.5)
        y += 2 * style.leading
    sheet.text(style.width / 2, style.height - 24, f"Page 1 of {rng.randint(1, 9)}", family.regular, 8, "centre")
    return [sheet]


def _sales(writer: Writer, rows: int) -> tuple[str, Table]:
    names = writer.rng.sample(LEXICON["region"], min(rows, len(LEXICON["region"])))
    figures = [[writer.rng.randint(2000, 950_000) for _ in range(4)] for _ in names]
    sums = [sum(column) for column in zip(*figures, strict=True)]
    body = [[name, *(f"{value:,}" for value in row), f"{sum(row):,}"] for name, row in zip(names, figures, strict=True)]
    total = ["Total", *(f"{value:,}" for value in sums), f"{sum(sums):,}"]
    title = writer.fill("Sales of {material} goods by region, {year}")
    return title, Table(["Region", "Q1", "Q2", "Q3", "Q4", "Year"], "lrrrrr", body, [total])


def _stock(writer: Writer, rows: int) -> tuple[str, Table]:
    goods = writer.rng.sample(LEXICON["product"], min(rows, len(LEXICON["product"])))
    body, total = [], 0
    for name in goods:
        count, price = writer.rng.randint(1, 400), writer.rng.randint(40, 30_000)
        total += count * price
        place = f"{writer.rng.choice('ABCDEF')}{writer.rng.randint(1, 30)}"
        body.append(
            [writer.code(), writer.fill("{colour} ") + name, place, f"{count}", money(price), money(count * price)]
        )
    headers = ["Item no.", "Description", "Bin", "Stock", "Unit price", f"Value ({writer.currency})"]
    return writer.fill("Stock list, {month} {year}"), Table(
        headers, "llcrrr", body, [["", "Value of stock", "", "", "", money(total)]]
    )


def _timetable(writer: Writer, rows: int) -> tuple[str, Table]:
    body, minutes = [], 0
    for _ in range(rows):
        start, length = writer.rng.randrange(420, 660, 15), writer.rng.randrange(180, 540, 15)
        minutes += length
        end = start + length
        day = writer.fill("{weekday}")[:3]
        body.append(
            [day, writer.person(), writer.fill("{department}"), _clock(start), _clock(end), f"{length / 60:.2f}"]
        )
    headers = ["Day", "Name", "Department", "From", "To", "Hours"]
    return writer.fill("Hours worked, {month} {year}"), Table(
        headers, "lllccr", body, [["", "Total", "", "", "", f"{minutes / 60:.2f}"]]
    )


def _statement(writer: Writer, rows: int) -> tuple[str, Table]:
    balance = writer.rng.randint(10_000, 900_000)
    body = [["", "Opening balance", "", "", money(balance)]]
    paid_in = paid_out = 0
    for day in sorted(writer.rng.randint(1, 28) for _ in range(rows)):
        amount = writer.rng.randint(300, 150_000)
        credit = writer.rng.random() < 0.4
        balance += amount if credit else -amount
        paid_in, paid_out = paid_in + amount * credit, paid_out + amount * (not credit)
        text = writer.pick(
            ["Card payment {company}", "Transfer {person}", "Invoice {code}", "Cash, {city}", "Fee {service}"]
        )
        body.append(
            [f"{day:02d}", text, money(amount) if credit else "", "" if credit else money(amount), money(balance)]
        )
    total = ["", "Closing balance", money(paid_in), money(paid_out), money(balance)]
    title = writer.fill("Account {code}, {month} {year}")
    return title, Table(["Day", "Details", "Paid in", "Paid out", "Balance"], "clrrr", body, [total])


def _measurements(writer: Writer, rows: int) -> tuple[str, Table]:
    columns = writer.rng.randint(3, 6)
    body = []
    for place in range(rows):
        values = [f"{writer.rng.gauss(20, 8):.2f}" for _ in range(columns)]
        body.append([f"S{place + 1}", writer.fill("{material}"), *values])
    headers = ["No.", "Sample", *(f"Run {number + 1}" for number in range(columns))]
    return writer.fill("Readings on {subject}"), Table(headers, "ll" + "r" * columns, body)


def _responses(writer: Writer, rows: int) -> tuple[str, Table]:
    questions = [writer.fill("The {thing} was {verb_past} {adverb}.") for _ in range(rows)]
    body = []
    for number, question in enumerate(questions, 1):
        yes = writer.rng.randint(0, 100)
        unsure = writer.rng.randint(0, 100 - yes)
        body.append([str(number), question, f"{yes} %", f"{100 - yes - unsure} %", f"{unsure} %"])
    title = writer.fill("Answers of {number} {things}")
    return title, Table(["No.", "Statement", "Agree", "Disagree", "Do not know"], "rlrrr", body)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


SUBJECTS: tuple[Callable[[Writer, int], tuple[str, Table]], ...] = (
    _sales,
    _stock,
    _timetable,
    _statement,
    _measurements,
    _responses,
)
