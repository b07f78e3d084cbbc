"""Mixtures: which of several corpora gives each sample of a run, in the shares that their weights ask for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

# Shares are whole numbers of this: counting samples then is exact at any position.
UNIT = 2**32


@dataclass(frozen=True)
class WeightedCorpus:
    """A corpus of a mixture: its folder, and its weight beside the others'."""

    path: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "WeightedCorpus":
        """From `CORPUS` or `CORPUS=WEIGHT`; a path that itself ends in = and a number needs a weight.

        Raises:
            ValueError: the weight is not above zero.
        """
        path, _, weight = text.rpartition("=")
        if not path:
            return cls(text)
        try:
            value = float(weight)
        except ValueError:
            return cls(text)
        if not 0 < value < math.inf:
            raise ValueError(f"the weight of {path} must be above 0; leave a corpus out that gives no sample")
        return cls(path, value)

    def __str__(self) -> str:
        plain = self.weight == 1 and WeightedCorpus.parse(self.path).path == self.path
        return self.path if plain else f"{self.path}={self.weight!r}"


class Mixture:
    """Assigns sample numbers 0, 1, 2, ... to corpora, evenly: in no stretch is a share off by more than a few samples.

    The first corpus takes the numbers at which its share of all samples passes a whole number; the second takes its
    share of those left in the same way, and so on. Any number is found in constant time.

    Args:
        weights: of the corpora, above zero, in any unit.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        exact = [Fraction(weight) for weight in weights]
        # Of the numbers that the corpora before it leave, the share of each in UNITs; the last takes the rest.
        self._parts = [max(1, round(UNIT * weight / sum(exact[place:]))) for place, weight in enumerate(exact[:-1])]

    def counts(self, number: int) -> list[int]:
        """How many of the samples before sample `number` each corpus gives."""
        counts = []
        for part in self._parts:
            counts.append(number * part // UNIT)
            number -= counts[-1]
        return [*counts, number]

    def at(self, number: int) -> tuple[int, int]:
        """The corpus that gives sample `number`, and which of its samples this is."""
        before, after = self.counts(number), self.counts(number + 1)
        corpus = next(place for place in range(len(before)) if after[place] > before[place])
        return corpus, before[corpus]
