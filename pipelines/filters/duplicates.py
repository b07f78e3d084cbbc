"""Which pages repeat an earlier page: exactly, or nearly by MinHash and locality-sensitive hashing.

Earlier means the order of (doc_id, page_index), so the answer depends on the pages alone, not on who read them when.
A page is a near duplicate of an earlier one whether or not that one is itself left out.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.filters.signature import PLACES

# 32 bands of 4 places: a pair of similarity 0.7 shares a band with probability 0.9998, and each candidate is checked.
BAND = 4


def repeats(keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Whether an earlier page has the same key: bool [P].

    Args:
        keys: one 16-byte key a page (void16 [P]), earliest page first.
    """
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(keys), bool)
    repeated[first] = False
    return repeated


def near_repeats(signatures: NDArray[np.uint32], threshold: float) -> NDArray[np.bool_]:
    """Whether an earlier page's runs are similar by at least `threshold`: bool [P].

    Args:
        signatures: uint32 [P, 128], earliest page first.
        threshold: estimated Jaccard similarity, 0..1.
    """
    repeated = np.zeros(len(signatures), bool)
    for start in range(0, PLACES, BAND):
        band = np.ascontiguousarray(signatures[:, start : start + BAND]).view(f"V{4 * BAND}").ravel()
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(band[order][1:] != band[order][:-1]) + 1
        for bucket in np.split(order, edges):
            if len(bucket) > 1:
                _mark(bucket, signatures, threshold, repeated)
    return repeated


def _mark(
    bucket: NDArray[np.int64], signatures: NDArray[np.uint32], threshold: float, repeated: NDArray[np.bool_]
) -> None:
    """Compare each page of a bucket with those before it that were like none before them."""
    leaders = signatures[bucket[:1]]
    for page in bucket[1:]:
        if ((leaders == signatures[page]).mean(axis=1) >= threshold).any():
            repeated[page] = True
        else:
            leaders = np.concatenate([leaders, signatures[page : page + 1]])
