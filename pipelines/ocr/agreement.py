"""How far a page's text layer and what OCR reads on its picture agree (contract, `quality`)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable


def is_sampled(page_id: str, share: float) -> bool:
    """Whether a page is among this share of all pages; the same pages in every build.

    Args:
        page_id: hex sha256.
        share: 0..1.
    """
    return int(page_id[:13], 16) < share * 16**13


def agreement(text_layer: Iterable[str], read: Iterable[str]) -> float:
    """F1 of the two bags of words, 0..1; 1 where both are empty.

    A word is a run of letters and digits, without case and accents, since engines part words at punctuation in their
    own ways and an engine trained on English drops accents; order does not count.
    """
    mine, other = _bag(text_layer), _bag(read)
    total = mine.total() + other.total()
    return 2 * (mine & other).total() / total if total else 1.0


def _bag(words: Iterable[str]) -> Counter[str]:
    text = unicodedata.normalize("NFKD", " ".join(words).casefold())
    plain = "".join(letter for letter in text if not unicodedata.combining(letter))
    return Counter(re.findall(r"[^\W_]+", plain))
