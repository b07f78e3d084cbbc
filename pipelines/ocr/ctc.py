"""Letters with their places from what a CTC network gives for a line of text, and the line's words."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BLANK = 0
MIN_LETTERS = 3  # of a word in which a 1 is taken for a letter
SURE_OF_LETTER = 0.97
SURE_OF_ACCENT = 0.9


@dataclass(frozen=True)
class Letter:
    """One character: its text, its middle in columns of the network (half columns count), its probability 0..1.

    `space` is the highest probability that the network gave to a space between it and the next one, `rival` the letter
    that it would be else, where the network was unsure, with its probability.
    """

    text: str
    place: float
    probability: float
    space: float = 0.0
    rival: str = ""
    rival_probability: float = 0.0


class Alphabet:
    """The classes of a network, and which of them European text has.

    Args:
        characters: text of each class; the first is CTC's blank.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self._characters = characters
        self._european = np.array([place for place, text in enumerate(characters) if _european(place, text)])
        self._letters = np.array([k for k in self._european if k != BLANK and characters[k].isalpha()], int)
        self._spaces = [place for place, text in enumerate(characters) if text == " "]
        self._is_european = np.zeros(len(characters), bool)
        self._is_european[self._european] = True

    def letters(self, probabilities: NDArray[np.float32]) -> list[Letter]:
        """The most likely letters and spaces of a line, from left to right.

        A line of mostly European letters holds no others: a network that knows thousands of Chinese ones is often
        torn between a stroke of those and the letter that it resembles.

        Args:
            probabilities: float32 [T, classes].
        """
        best = probabilities.argmax(1)
        seen = best[best != BLANK]
        if not len(seen):
            return []
        european = self._is_european[seen].mean() >= 0.5
        if european:
            best = self._european[probabilities[:, self._european].argmax(1)]
        begins = np.flatnonzero(np.diff(best, prepend=BLANK - 1))
        ends = np.append(begins[1:], len(best))
        letters = [
            Letter(self._characters[best[begin]], (begin + end) / 2, float(probabilities[begin:end, best[begin]].max()))
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
            if best[begin] != BLANK
        ]
        between = [slice(int(one.place), int(other.place) + 1) for one, other in pairwise(letters)]
        spaces = [float(probabilities[columns][:, self._spaces].max(initial=0.0)) for columns in between]
        letters = [replace(letter, space=space) for letter, space in zip(letters, [*spaces, 0.0], strict=True)]
        return [self._with_rival(letter, probabilities) for letter in letters] if european else letters

    def _with_rival(self, letter: Letter, probabilities: NDArray[np.float32]) -> Letter:
        if letter.probability >= SURE_OF_LETTER or not letter.text.isalpha():
            return letter
        place = int(letter.place)
        likely = probabilities[max(place - 1, 0) : place + 2][:, self._letters].max(0)
        # The letter itself is one of the two likeliest, as a rule.
        for rival in likely.argsort()[:-3:-1]:
            text = self._characters[self._letters[rival]]
            if text != letter.text:
                return replace(letter, rival=text, rival_probability=float(likely[rival]))
        return letter


def split_at_spaces(letters: Sequence[Letter]) -> list[list[Letter]]:
    """The words of a line as their letters; none is empty."""
    words: list[list[Letter]] = [[]]
    for letter in letters:
        if letter.text.isspace():
            words.append([])
        else:
            words[-1].append(letter)
    return [word for word in words if word]


def in_its_company(word: Sequence[Letter]) -> list[Letter]:
    """The word with O among digits as 0, 0 among letters as O, and 1 between letters as I or l: the same shapes.

    A word of both, or of neither, is left as it is: it may be a code.
    """
    word = _ones_between_letters(word)
    text = "".join(letter.text for letter in word)
    digits = sum(letter in "123456789" for letter in text)
    letters = [letter for letter in text if letter.isalpha() and letter not in "oO"]
    if digits and not letters:
        instead = {"O": "0", "o": "0"}
    elif letters and not digits:
        capitals = 2 * sum(letter.isupper() for letter in letters) > len(letters)
        instead = {"0": "O" if capitals else "o"}
        if text.startswith("0"):  # as high as a capital
            word = [replace(word[0], text="O"), *word[1:]]
    else:
        return list(word)
    return [replace(letter, text=instead.get(letter.text, letter.text)) for letter in word]


def _ones_between_letters(word: Sequence[Letter]) -> Sequence[Letter]:
    text = "".join(letter.text for letter in word)
    letters = [letter for letter in text if letter.isalpha()]
    if len(text) != len(word) or len(letters) < MIN_LETTERS or set(re.findall(r"\d", text)) != {"1"}:
        return word
    instead = "I" if 2 * sum(letter.isupper() for letter in letters) > len(letters) else "l"
    between = {found.start() for found in re.finditer(r"(?<=[^\W\d_])1(?=[^\W\d_])", text)}
    return [replace(letter, text=instead) if place in between else letter for place, letter in enumerate(word)]


def without_doubtful_accents(words: Sequence[Sequence[Letter]]) -> list[list[Letter]]:
    """A page's words, without the unsure accents where most are: dots and dirt, taken for them."""
    doubts = [letter.probability < SURE_OF_ACCENT for word in words for letter in word if _plain(letter) != letter.text]
    if 2 * sum(doubts) <= len(doubts):
        return [list(word) for word in words]
    return [
        [replace(each, text=_plain(each)) if each.probability < SURE_OF_ACCENT else each for each in word]
        for word in words
    ]


def _plain(letter: Letter) -> str:
    return unicodedata.normalize("NFD", letter.text)[:1] if letter.text.isalpha() else letter.text


def _european(place: int, text: str) -> bool:
    return place == BLANK or all(
        ord(letter) < 0x250 or 0x2010 <= ord(letter) < 0x2030 or letter in "€™•" for letter in text
    )
