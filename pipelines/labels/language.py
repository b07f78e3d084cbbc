"""The language of a page, from its first words (py3langid, whose model is in its wheel: no download)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier

# More text is slower and no better: of 495 pages in 27 languages 87 % are right with 1,000 characters and with 2,000.
CHARACTERS = 1000
MIN_LETTERS = 20


def identify(words: Sequence[str]) -> str:
    """BCP-47 code of the language of `words`, one of those with a two-letter code; empty under 20 letters."""
    text = ""
    for word in words:
        text += word + " "
        if len(text) >= CHARACTERS:
            break
    if not _has_letters(text):
        return ""
    return str(identifier().classify(text[:CHARACTERS])[0])


def _has_letters(text: str) -> bool:
    found = 0
    for letter in text:
        found += letter.isalpha()
        if found == MIN_LETTERS:
            return True
    return False


class Identifier(LanguageIdentifier):  # type: ignore[misc]
    """py3langid's, with the same scores, but its automaton steps from all letters of a text at once.

    The automaton knows byte sequences up to a length: its state after any letter follows from so many letters up to it.
    """

    __slots__ = ("_depth", "_moves", "_outputs", "_rows", "_table")

    def __init__(self, *model: Any, **options: Any) -> None:
        super().__init__(*model, **options)
        self._moves = np.asarray(self.tk_nextmove)
        self._rows = np.asarray(self.tk_row).astype(np.int64) << 8
        self._outputs = np.asarray(self.tk_output)
        self._depth = self._longest()

    def _longest(self) -> int:
        """Steps after which every state has been come to."""
        moves = self._moves.reshape(-1, 256)
        row_of = self._rows >> 8
        seen, left = np.zeros(len(row_of), bool), np.ones(len(moves), bool)  # states; rows of moves not followed yet
        depth, reached = -1, np.zeros(1, np.int64)
        while len(reached):
            depth, seen[reached] = depth + 1, True
            follow = np.unique(row_of[reached])
            follow = follow[left[follow]]
            left[follow] = False
            fresh = np.zeros(len(seen), bool)
            fresh[moves[follow].ravel()] = True
            reached = np.flatnonzero(fresh & ~seen)
        return depth

    def set_languages(self, langs: Sequence[str] | None = None) -> None:
        """Tell only these languages apart."""
        super().set_languages(langs)
        self._table = self.nb_ptc.astype(np.float32)  # as the library does for every text

    def _raw_score(self, text: bytes) -> NDArray[np.float32]:
        letters = np.frombuffer(text, np.uint8)
        states = np.zeros(len(letters), np.int64)
        for back in range(min(self._depth, len(letters)) - 1, -1, -1):
            states[back:] = self._moves[self._rows[states[back:]] + letters[: len(letters) - back]]
        found = self._outputs[states]
        features, first, counts = np.unique(found[found >= 0], return_index=True, return_counts=True)
        if not len(features):
            nothing: NDArray[np.float32] = super()._raw_score(text)
            return nothing
        order = np.argsort(first)  # sums of floats depend on their order
        scores: NDArray[np.float32] = np.log1p(counts[order].astype(np.float32)) @ self._table[features[order]]
        scores += self.nb_pc
        return scores


@cache
def identifier() -> Identifier:
    """Loaded once a process; a language without a two-letter code is guessed wrong more often than right."""
    found = Identifier.from_model_file(MODEL_FILE)
    assert isinstance(found, Identifier)
    found.set_languages([str(code) for code in found.labels if len(code) == 2])
    return found
