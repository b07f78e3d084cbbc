"""What a page is compared by: a key that equal pages share, a MinHash signature that like pages nearly share."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipelines.filters.shingles import mix, runs

RUN_WORDS = 5
PLACES = 128
_SEEDS = mix(np.arange(1, 2 * PLACES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
_FACTORS, _OFFSETS = _SEEDS[:PLACES] | np.uint64(1), _SEEDS[PLACES:]


def text_key(hashes: NDArray[np.uint64]) -> bytes:
    """16 bytes that two pages share when their words are the same in the same order."""
    return hashlib.blake2b(hashes.astype("<u8").tobytes(), digest_size=16).digest()


def signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """MinHash of the page's five-word runs: uint32 [128].

    The share of equal places of two signatures estimates the Jaccard similarity of the two sets of runs, with a
    standard error of at most 0.045 (Broder, 1997).
    """
    found = np.unique(runs(hashes, RUN_WORDS))
    if not len(found):
        return np.zeros(PLACES, np.uint32)
    smallest = np.full(PLACES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(found), 1024):  # bounded memory for a page of a hundred thousand words
        permuted = found[start : start + 1024, None] * _FACTORS + _OFFSETS
        smallest = np.minimum(smallest, permuted.min(axis=0))
    return (smallest >> np.uint64(32)).astype(np.uint32)
