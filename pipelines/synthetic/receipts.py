"""Receipts: a narrow strip as long as its items, from a shop's printer."""

import random

from pipelines.synthetic.flow import fit
from pipelines.synthetic.fonts import COURIER, HELVETICA
from pipelines.synthetic.lexicon import LEXICON
from pipelines.synthetic.marks import bar_code
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.writer import Writer, money

STRIPS = (164.0, 198.0, 226.0)  # paper widths of till printers, points
GREETINGS = (
    "Thank you!",
    "Thank you for shopping with us",
    "Please come again",
    "Have a nice day",
    "Goods sold are not returnable",
)


def draw_receipt(rng: random.Random) -> list[Sheet]:
    """One strip."""
    writer = Writer(rng)
    family = rng.choice([COURIER, COURIER, HELVETICA])
    width = rng.choice(STRIPS)
    size = {164.0: 6.5, 198.0: 7.5, 226.0: 8.5}[width]
    leading = size * rng.uniform(1.2, 1.4)
    count = rng.randint(1, 16)
    detailed = rng.random() < 0.4
    strip = _Strip(Sheet(width, 10_000.0), writer, family.regular, family.bold, size, leading)
    strip.head()
    total = strip.items(count, detailed)
    strip.payment(total, count)
    return [strip.cut()]


class _Strip:
    """A receipt under way, from the top down on a sheet that is cut to length at the end."""

    def __init__(self, sheet: Sheet, writer: Writer, regular: str, bold: str, size: float, leading: float) -> None:
        self.sheet, self.writer, self.rng = sheet, writer, writer.rng
        self.regular, self.bold, self.size, self.leading = regular, bold, size, leading
        self.left, self.right, self.y = 10.0, sheet.width - 10.0, 16.0

    def centre(self, text: str, font: str, size: float) -> None:
        self.y += max(self.leading, size * 1.25)
        text = fit(text, font, size, self.right - self.left)
        self.sheet.text(self.sheet.width / 2, self.y, text, font, size, "centre")

    def pair(self, label: str, value: str, font: str, size: float) -> None:
        self.y += max(self.leading, size * 1.25)
        self.sheet.text(self.left, self.y, label, font, size)
        self.sheet.text(self.right, self.y, value, font, size, "right")

    def dashes(self) -> None:
        self.y += 0.6 * self.leading
        self.sheet.rule(self.left, self.y, self.right, self.y, 0.5)
        self.y += 0.2 * self.leading

    def head(self) -> None:
        """Shop, address, and who sold when."""
        self.centre(self.writer.fill("{company_stem}").upper(), self.bold, self.size * self.rng.choice([1.4, 1.8, 2.1]))
        self.centre(self.writer.fill("{company_trade} {company_form}"), self.regular, self.size)
        for line in self.writer.address():
            self.centre(line, self.regular, self.size)
        self.centre(f"Tel {self.writer.phone()}", self.regular, self.size)
        self.y += 0.5 * self.leading
        clock = f"{self.rng.randint(7, 21):02d}:{self.rng.randint(0, 59):02d}"
        if self.rng.random() < 0.5:
            self.centre(self.rng.choice(["RECEIPT", "TAX INVOICE", "SALES SLIP", "CASH BILL"]), self.bold, self.size)
        self.pair(self.writer.date(), clock, self.regular, self.size)
        self.pair(f"Bill {self.rng.randint(1000, 99999)}", f"Till {self.rng.randint(1, 12)}", self.regular, self.size)
        self.pair("Cashier", self.writer.fill("{first_name}"), self.regular, self.size)
        self.dashes()

    def items(self, count: int, detailed: bool) -> int:
        """Goods with prices in cents; returns their sum."""
        total = 0
        for _ in range(count):
            name = self.rng.choice(LEXICON["grocery"] if self.rng.random() < 0.8 else LEXICON["product"])
            quantity = self.rng.choice([1, 1, 1, 2, 3, 4, 6])
            price = self.rng.randint(45, 2900)
            total += quantity * price
            name = fit(
                name.upper() if detailed else name.capitalize(), self.regular, self.size, 0.66 * self.sheet.width
            )
            if detailed:
                self.y += self.leading
                self.sheet.text(self.left, self.y, name, self.regular, self.size)
                self.pair(f"  {quantity} x {money(price)}", money(quantity * price), self.regular, self.size)
            else:
                self.pair(f"{quantity} {name}", money(quantity * price), self.regular, self.size)
        self.dashes()
        return total

    def payment(self, total: int, count: int) -> None:
        """The total, how it was paid, the tax in it, and a farewell."""
        self.pair(f"{count} {'item' if count == 1 else 'items'}", "", self.regular, self.size)
        big = self.size * self.rng.choice([1.0, 1.3, 1.6])
        self.pair("TOTAL", self.writer.currency + money(total), self.bold, big)
        self.y += 0.3 * self.leading
        if self.rng.random() < 0.5:
            note = next(note for note in (500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 500_000) if note >= total)
            self.pair("Cash", money(note), self.regular, self.size)
            self.pair("Change", money(note - total), self.regular, self.size)
        else:
            self.pair("Card", money(total), self.regular, self.size)
            self.pair("Approval", str(self.rng.randint(100_000, 999_999)), self.regular, self.size)
        rate = self.rng.choice([5, 6, 7, 10, 20])
        self.pair(f"Tax {rate}% incl.", money(total * rate // (100 + rate)), self.regular, self.size)
        self.dashes()
        self.centre(self.rng.choice(GREETINGS), self.regular, self.size)
        if self.rng.random() < 0.5:
            self.y += self.leading
            bar_code(self.sheet, self.rng, self.left + 25, self.y, self.right - self.left - 50, 24)
            self.y += 26
            self.centre(str(self.rng.randint(10**11, 10**12 - 1)), self.regular, self.size)

    def cut(self) -> Sheet:
        """The sheet without the paper that was not used."""
        return self.sheet.cut(round(self.y + 20.0))
