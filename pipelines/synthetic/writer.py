"""Fills sentence patterns with words, numbers, dates and names, all from one random stream."""

import random
import re
from collections.abc import Sequence

from pipelines.synthetic.lexicon import LEXICON

_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|un[^i])")


class Writer:
    """Text of one document.

    Args:
        rng: the document's random stream.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.currency = rng.choice(["$", "$", "$", "£", "€"])
        self.date_form = rng.randrange(5)

    def fill(self, pattern: str) -> str:
        """Replace each {slot}: by a method of that name where there is one, else by a word of the lexicon."""
        while True:
            filled = _SLOT.sub(lambda match: self._slot(match[1]), pattern)
            if filled == pattern:
                return _BEFORE_VOWEL.sub(r"\1n ", filled)
            pattern = filled

    def _slot(self, slot: str) -> str:
        if slot in LEXICON:
            return self.rng.choice(LEXICON[slot])
        return str(getattr(self, slot)())

    def pick(self, patterns: Sequence[str]) -> str:
        """One of the patterns, filled."""
        return self.fill(self.rng.choice(patterns))

    def sentences(self, patterns: Sequence[str], count: int) -> str:
        """A paragraph of `count` sentences, none repeated while the patterns last."""
        chosen: list[str] = []
        while len(chosen) < count:
            chosen += self.rng.sample(patterns, min(count - len(chosen), len(patterns)))
        filled = [self.fill(pattern) for pattern in chosen]
        return " ".join(text[0].upper() + text[1:] for text in filled)

    def person(self) -> str:
        """First and last name."""
        return self.fill("{first_name} {last_name}")

    def initials(self) -> str:
        """A name as in a reference."""
        return self.fill("{last_name}, ") + self.rng.choice("ABCDEFGHIJKLMNOPRSTW") + "."

    def company(self) -> str:
        """A company's full name."""
        return self.fill(
            self.rng.choice(["{company_stem} {company_trade} {company_form}", "{last_name} {company_form}"])
        )

    def address(self) -> list[str]:
        """Street line and town line."""
        street = self.fill("{street} {street_form}")
        number = self.rng.randint(1, 980)
        if self.rng.random() < 0.7:
            town = self.fill("{city}, {state} ") + f"{self.rng.randint(10000, 98999)}"
        else:
            town = f"{self.rng.randint(1000, 9899)} " + self.fill("{city}")
        return [f"{number} {street}", town]

    def email(self) -> str:
        """A mailbox under the reserved example domains."""
        name = (
            self.fill("{last_name}").lower()
            if self.rng.random() < 0.5
            else self.rng.choice(["office", "sales", "info"])
        )
        return f"{name}@{self.fill('{street}').lower()}.example"

    def phone(self) -> str:
        """A telephone number of the block kept for fiction."""
        return f"({self.rng.randint(201, 989)}) 555-01{self.rng.randint(0, 99):02d}"

    def date(self) -> str:
        """A date in the document's one form."""
        day, month, year = self.rng.randint(1, 28), self.rng.randint(1, 12), self.rng.randint(1996, 2025)
        name = LEXICON["month"][month - 1]
        return (
            f"{name} {day}, {year}",
            f"{month:02d}/{day:02d}/{year}",
            f"{day:02d}.{month:02d}.{year}",
            f"{year}-{month:02d}-{day:02d}",
            f"{day} {name[:3]} {year}",
        )[self.date_form]

    def year(self) -> str:
        """A year."""
        return str(self.rng.randint(1996, 2025))

    def number(self) -> str:
        """A small number."""
        return str(self.rng.randint(2, 99))

    def percent(self) -> str:
        """A percentage with one decimal."""
        return f"{self.rng.randint(5, 970) / 10:.1f}%"

    def code(self) -> str:
        """An identifier such as an order number."""
        letters = "".join(self.rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(self.rng.randint(1, 3)))
        return f"{letters}-{self.rng.randint(1000, 99999)}"

    def sum(self) -> str:
        """An amount of money, with its currency."""
        return self.currency + money(self.rng.randint(500, 2_500_000))


def money(cents: int) -> str:
    """1234567 to 12,345.67; below zero with a minus sign."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"
