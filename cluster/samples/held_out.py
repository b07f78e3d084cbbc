"""Which documents are kept out of training: those whose hash falls below a bound."""

import hashlib

HASHES = 2**64


def document_hash(doc_id: str) -> int:
    """A number below `HASHES` that follows from the document alone."""
    return int.from_bytes(hashlib.sha256(f"held-out:{doc_id}".encode()).digest()[:8], "big")


def is_held_out(doc_id: str, bound: int) -> bool:
    """Whether all pages of a document are kept out of training, under a bound from `held_out_bound`."""
    return document_hash(doc_id) < bound


def held_out_bound(lowest: int, highest: int, fraction: float) -> int:
    """The bound below which a document's hash keeps it out of training: `fraction` of the range of hashes.

    Few documents may all fall on one side; then the one with the smallest hash is held out, or the one with the
    largest is trained on. A single document is never held out.

    Args:
        lowest: hash of all documents.
        highest: hash of all documents.
        fraction: share of documents wanted, 0 up to 1.
    """
    bound = int(fraction * HASHES)
    if fraction > 0:
        bound = max(bound, lowest + 1)
    return min(bound, highest)
