"""The filters, as a function of the facts about pages: the first reason in this order that applies to a page.

`few-words`, `many-words`, `language`, `low-confidence`, `evaluation-overlap` look at a page alone; `duplicate` and
`near-duplicate` compare those that are left, so they need the facts of the whole corpus.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.filters.duplicates import near_repeats, repeats
from pipelines.filters.signature import PLACES
from pipelines.labels.languages import UNKNOWN
from pipelines.quarantine import FilterReason
from pipelines.settings import CorpusSettings


def page_reasons(facts: pa.Table, settings: CorpusSettings) -> NDArray[np.object_]:
    """Why each page is left out by what it is alone; empty where it is not: str [P]."""
    words, confidence, overlap = (_numbers(facts, name) for name in ("words", "confidence", "overlap"))
    language = np.array([code or UNKNOWN for code in facts["language"].to_pylist()], object)
    wanted = [code.lower() for code in settings.languages]
    checks = (
        (FilterReason.FEW_WORDS, words < settings.min_words),
        (FilterReason.MANY_WORDS, (words > settings.max_words) & (settings.max_words > 0)),
        (FilterReason.LANGUAGE, ~np.isin(language, wanted) & bool(wanted)),
        (FilterReason.LOW_CONFIDENCE, confidence < np.float32(settings.min_confidence)),
        (FilterReason.EVALUATION_OVERLAP, (overlap >= np.float32(settings.keep_out_share)) & bool(settings.keep_out)),
    )
    reasons = np.full(len(facts), "", object)
    for reason, left_out in reversed(checks):
        reasons[left_out] = str(reason)
    return reasons


def all_reasons(facts: pa.Table, settings: CorpusSettings) -> NDArray[np.object_]:
    """Why each page of a whole corpus is left out; empty where it is taken: str [P]."""
    reasons = page_reasons(facts, settings)
    if not (settings.drop_duplicates or settings.near_duplicates):
        return reasons
    order = np.lexsort((facts["page_index"].to_numpy(), facts["doc_id"].to_numpy().astype("U64")))
    order = order[reasons[order] == ""]
    if settings.near_duplicates:
        places = np.frombuffer(b"".join(facts["signature"].take(order).to_pylist()), "<u4").reshape(-1, PLACES)
        reasons[order[near_repeats(places, settings.near_duplicates)]] = str(FilterReason.NEAR_DUPLICATE)
    if settings.drop_duplicates:
        keys = np.frombuffer(b"".join(facts["text_key"].take(order).to_pylist()), "V16")
        reasons[order[repeats(keys)]] = str(FilterReason.DUPLICATE)
    return reasons


def describe(fact: Mapping[str, Any], reason: str, settings: CorpusSettings) -> str:
    """What was seen of a page that `reason` leaves out, beside the limit."""
    return {
        FilterReason.FEW_WORDS: f"{fact['words']} words, at least {settings.min_words}",
        FilterReason.MANY_WORDS: f"{fact['words']} words, at most {settings.max_words}",
        FilterReason.LANGUAGE: f"language {fact['language'] or UNKNOWN}, wanted {' '.join(settings.languages)}",
        FilterReason.LOW_CONFIDENCE: f"mean confidence {fact['confidence']:.2f}, at least {settings.min_confidence}",
        FilterReason.EVALUATION_OVERLAP: (
            f"{fact['overlap'] or 0:.0%} of its runs are of pages to keep out, limit {settings.keep_out_share:.0%}"
        ),
        FilterReason.DUPLICATE: "the same words as another page",
        FilterReason.NEAR_DUPLICATE: f"at least {settings.near_duplicates:.0%} of its runs are those of another page",
    }[FilterReason(reason)]


def _numbers(facts: pa.Table, name: str) -> NDArray[Any]:
    """A null is a number that no limit is passed by."""
    values: NDArray[Any] = facts[name].to_numpy()
    return values
