"""Random numbers that belong to a sample and an objective, never to a rank, a worker or a time."""

import hashlib

import numpy as np
from numpy.typing import NDArray

# A generator made from a ready seed skips asking the system for entropy; its state is then set from the key.
_READY = np.random.SeedSequence(0)
_START = np.random.Philox(_READY).state


def sample_rng(seed: int, epoch: int, page_id: str, objective: str) -> np.random.Generator:
    """A generator fixed by its four arguments, independent of every other combination of them.

    The key of the counter-based generator (Philox) is the first 128 bits of the sha256 of the arguments, so streams
    of two objectives share nothing: switching one off leaves the other as it was.
    """
    digest = hashlib.sha256(f"{seed}:{epoch}:{page_id}:{objective}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    bits = np.random.Philox(_READY)
    bits.state = {**_START, "state": {"counter": np.zeros(4, np.uint64), "key": key}}
    return np.random.Generator(bits)


def choose(rng: np.random.Generator, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each count c (int64 [K], at least 1) an integer drawn uniformly from 0..c-1: int64 [K].

    Made from uniform doubles alone, whose stream numpy keeps the same from release to release.
    """
    return np.minimum((rng.random(len(counts)) * counts).astype(np.int64), counts - 1)
