"""Forms: numbered sections of labels with typed values, on lines or in boxes, and rows of check boxes."""

import random
from collections.abc import Iterator
from itertools import cycle

from pipelines.synthetic.flow import fit, paragraph
from pipelines.synthetic.fonts import COURIER, HELVETICA, text_width
from pipelines.synthetic.marks import check_box, signature
from pipelines.synthetic.phrases import CLAUSES
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.style import Style, draw_style
from pipelines.synthetic.writer import Writer

FIELDS: tuple[tuple[str, str], ...] = (
    ("Name", "{person}"),
    ("First name", "{first_name}"),
    ("Last name", "{last_name}"),
    ("Date of birth", "{date}"),
    ("Street", "{number} {street} {street_form}"),
    ("City", "{city}"),
    ("State", "{state}"),
    ("Telephone", "{phone}"),
    ("E-mail", "{email}"),
    ("Employer", "{company}"),
    ("Occupation", "{role}"),
    ("Department", "{department}"),
    ("Date", "{date}"),
    ("Reference", "{code}"),
    ("Amount", "{sum}"),
    ("Item", "{colour} {product}"),
    ("Material", "{material}"),
    ("Quantity", "{number}"),
    ("Purpose", "to {verb} {things}"),
    ("Reason", "{reason}"),
    ("Location", "{place}"),
    ("Supplier", "{company}"),
    ("Approved by", "{person}"),
    ("Start of work", "{date}"),
    ("Insurance no.", "{code}"),
    ("Symptoms", "{symptom}"),
    ("Country", "{country}"),
    ("Remarks", "{adjective} {thing}, {verb_past} {adverb}"),
)
CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Marital status", ("single", "married", "widowed", "divorced")),
    ("Delivery", ("by mail", "by courier", "collected")),
    ("Have you applied before?", ("yes", "no")),
    ("Type of request", ("new", "change", "renewal", "withdrawal")),
    ("Payment", ("cash", "cheque", "card", "transfer")),
    ("Priority", ("low", "normal", "urgent")),
    ("Condition", ("good", "worn", "damaged", "lost")),
    ("Copies to", ("file", "customer", "manager")),
)
SECTION_NAMES = (
    "Applicant",
    "Details of the request",
    "Employment",
    "Delivery",
    "Payment",
    "Declaration",
    "For office use only",
)


def draw_form(rng: random.Random) -> list[Sheet]:
    """One page."""
    writer = Writer(rng)
    style = draw_style(rng, leading=1.45)
    sheet = style.sheet()
    y = style.margin + 14
    title = writer.fill("{department} ").upper() + rng.choice(
        ["REQUEST FORM", "APPLICATION", "REPORT", "REGISTRATION", "ORDER FORM"]
    )
    sheet.text(style.margin, y, title, HELVETICA.bold, 14)
    sheet.text(style.right, y, f"Form {writer.code()}", HELVETICA.regular, 8, "right")
    y += 6
    sheet.rule(style.margin, y, style.right, y, 2.0)
    y += 1.6 * style.leading
    if rng.random() < 0.5:
        text = "Please complete in capital letters. " + writer.sentences(CLAUSES, 1)
        y = paragraph(sheet, style.margin, y, text, style.family.italic, style.size - 1, style.inner, style.leading)
        y += 0.5 * style.leading
    fields = cycle(rng.sample(FIELDS, len(FIELDS)))
    choices = cycle(rng.sample(CHOICES, len(CHOICES)))
    number = 0
    while y + 13 * style.leading < style.bottom and number < 6:
        number += 1
        y = _section_head(sheet, style, writer, y, number)
        part = rng.choice(["lined", "boxed", "boxed", "choices"])
        if part == "choices":
            y = _choices(sheet, style, writer, y, choices)
        else:
            y = (_lined_fields if part == "lined" else _boxed_fields)(sheet, style, writer, y, fields)
    y += style.leading
    signature(sheet, rng, style.margin + 60, y + 0.5 * style.leading, 80)
    y += style.leading
    sheet.rule(style.margin, y, style.margin + 0.45 * style.inner, y)
    sheet.rule(style.right - 0.35 * style.inner, y, style.right, y)
    y += style.leading
    sheet.text(style.margin, y, "Signature", style.family.regular, style.size - 1)
    sheet.text(style.right - 0.35 * style.inner, y, f"Date {writer.date()}", style.family.regular, style.size - 1)
    return [sheet]


def _section_head(sheet: Sheet, style: Style, writer: Writer, y: float, number: int) -> float:
    name = f"{number}. {SECTION_NAMES[(number - 1) % len(SECTION_NAMES)]}"
    if writer.rng.random() < 0.4:
        sheet.fill(style.margin, y - 1.2 * style.size, style.right, y + 0.4 * style.size, (0.85, 0.85, 0.85))
    sheet.text(style.margin + 2, y, name, style.family.bold, style.size + 0.5)
    return y + 1.7 * style.leading


def _value(writer: Writer, pattern: str, size: float, width: float) -> str:
    """A typed value that fits, or now and then an empty field."""
    if writer.rng.random() < 0.12:
        return ""
    text = writer.fill(pattern)
    size_fit = fit(text.upper() if writer.rng.random() < 0.2 else text, COURIER.regular, size, width)
    return size_fit if text_width(size_fit, COURIER.regular, size) <= width else ""


def _lined_fields(sheet: Sheet, style: Style, writer: Writer, y: float, fields: Iterator[tuple[str, str]]) -> float:
    """Label, then the value on a line: one or two fields beside each other."""
    columns = writer.rng.randint(1, 2)
    width = (style.inner - 16 * (columns - 1)) / columns
    for _ in range(writer.rng.randint(2, 4)):
        for column in range(columns):
            label, pattern = next(fields)
            x = style.margin + column * (width + 16)
            end = sheet.text(x, y, label + writer.rng.choice(["", ":"]), style.family.regular, style.size) + 6
            sheet.rule(end - 2, y + 2, x + width, y + 2, 0.5)
            value = _value(writer, pattern, style.size, x + width - end)
            if value:
                sheet.text(end, y, value, COURIER.regular, style.size)
        y += 1.35 * style.leading
    return y + 0.6 * style.leading


def _boxed_fields(sheet: Sheet, style: Style, writer: Writer, y: float, fields: Iterator[tuple[str, str]]) -> float:
    """Small labels in the top left of boxes, the values under them; two or three boxes in a row."""
    columns = writer.rng.randint(2, 3)
    width, height = style.inner / columns, 2.9 * style.size
    y -= style.size
    for _ in range(writer.rng.randint(1, 3)):
        for column in range(columns):
            label, pattern = next(fields)
            x = style.margin + column * width
            sheet.box(x, y, x + width, y + height)
            sheet.text(x + 3, y + 0.95 * style.size, label, style.family.regular, 0.75 * style.size)
            value = _value(writer, pattern, style.size, width - 8)
            if value:
                sheet.text(x + 5, y + 2.35 * style.size, value, COURIER.bold, style.size)
        y += height
    return y + 2.2 * style.leading


def _choices(
    sheet: Sheet, style: Style, writer: Writer, y: float, choices: Iterator[tuple[str, tuple[str, ...]]]
) -> float:
    """A question and its answers behind check boxes, in one row."""
    for _ in range(writer.rng.randint(1, 3)):
        question, answers = next(choices)
        sheet.text(style.margin, y, question, style.family.regular, style.size)
        ticked = writer.rng.randrange(len(answers) + 1)
        x = style.margin + 0.36 * style.inner
        step = 0.64 * style.inner / 4
        for place, answer in enumerate(answers):
            check_box(sheet, x + place * step, y, style.size, place == ticked)
            sheet.text(x + place * step + 1.2 * style.size, y, answer, style.family.regular, style.size - 0.5)
        y += 1.4 * style.leading
    return y + 0.6 * style.leading
