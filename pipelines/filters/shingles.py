"""Runs of words as numbers: what duplicate pages and evaluation pages are recognised by."""

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def word_hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    """A hash of each word that has a letter or digit: uint64 [M]; case, marks and compatibility forms do not count."""
    hashes = np.fromiter(map(_hash, words), np.uint64, len(words))
    found: NDArray[np.uint64] = hashes[hashes != 0]
    return found


def runs(hashes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A hash of each run of `length` words: uint64 [max(1, M - length + 1)]; a shorter page is one run."""
    length = min(length, len(hashes))
    if length == 0:
        return hashes
    found = np.zeros(len(hashes) - length + 1, np.uint64)
    for place in range(length):
        found = found * MULTIPLIER + hashes[place : place + len(found)]
    return mix(found)


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", word).casefold() if letter.isalnum())
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest(), "little") | 1 if plain else 0
