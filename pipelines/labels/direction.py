"""Which way the words of a line run: the bidirectional algorithm (UAX #9, levels 0 to 2) word by word, backwards.

A page has words at places, and the algorithm's order of display; what is wanted is the order in which they are read.
Letters inside a word are in that order already.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

# Hebrew, Arabic and their like, presentation forms included: all others are never looked at letter by letter.
WRITTEN_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
WIDE_GAP_HEIGHTS = 1.5  # between words, in word heights: what stands beyond it is another cell's


class Kind(IntEnum):
    """What a word is to the algorithm, by its letters: L, R or AL, else EN or AN, else neutral."""

    NEUTRAL = 0
    LEFT = 1
    RIGHT = 2
    NUMBER = 3


@dataclass(frozen=True)
class Directions:
    """Of the N words of a page.

    Attributes:
        kinds: int8 [N], values of Kind.
        pull: int64 [N], letters written from the right less letters written from the left.
    """

    kinds: NDArray[np.int8]
    pull: NDArray[np.int64]

    def from_right(self, *parts: NDArray[np.int64]) -> bool:
        """Whether most letters are written from the right: of the first of these parts of the page with a majority.

        A row of numbers runs as the text around it does. At last the whole page is asked.
        """
        pulls = (int(part.sum()) for part in (*(self.pull[words] for words in parts), self.pull))
        return next((pull > 0 for pull in pulls if pull), False)

    def as_read(
        self, words: NDArray[np.int64], around: NDArray[np.int64], boxes: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The words of one line in the order in which they are read.

        A run in the other direction than the line's keeps its own: its words, and what stands between two of them. In
        a line from the right it takes in the numbers to its right (rule W7: those behind Latin letters run with them).

        Args:
            words: of the line, by their left edges.
            around: words of the block that it is in.
            boxes: [N, 4] of all words of the page.
        """
        right = self.from_right(words, around)
        other, joins = (Kind.LEFT, (Kind.LEFT, Kind.NUMBER)) if right else (Kind.RIGHT, (Kind.RIGHT,))
        line = Kind.RIGHT if right else Kind.LEFT
        kinds = self.kinds[words]
        wide = self._wide_gaps(words, boxes)
        runs: list[NDArray[np.int64]] = []
        place = 0
        while place < len(words):
            end = place + 1
            if kinds[place] == other:
                ahead = end
                while ahead < len(words) and kinds[ahead] != line and not wide[ahead]:
                    ahead += 1
                    if kinds[ahead - 1] in joins:
                        end = ahead
            runs.append(words[place:end] if right else words[place:end][::-1])
            place = end
        return np.concatenate(runs[::-1] if right else runs)

    def _wide_gaps(self, words: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a wide gap is before each word of a line: bool [len(words)]."""
        height = float(np.median(boxes[words, 3] - boxes[words, 1]))
        gap = boxes[words[1:], 0] - np.maximum.accumulate(boxes[words, 2])[:-1]
        return np.append(False, gap > WIDE_GAP_HEIGHTS * height)


def directions(words: list[str]) -> Directions | None:
    """Of the words of a page; None where none is written from the right, and the left edges say the order."""
    text = "".join(words)
    if text.isascii() or not WRITTEN_FROM_RIGHT.search(text):
        return None
    kinds, pull = np.zeros(len(words), np.int8), np.zeros(len(words), np.int64)
    for place, word in enumerate(words):
        classes = [unicodedata.bidirectional(letter) for letter in word]
        pull[place] = sum(one in ("R", "AL") for one in classes) - classes.count("L")
        if pull[place]:
            kinds[place] = Kind.RIGHT if pull[place] > 0 else Kind.LEFT
        elif "EN" in classes or "AN" in classes:
            kinds[place] = Kind.NUMBER
    return Directions(kinds, pull)
