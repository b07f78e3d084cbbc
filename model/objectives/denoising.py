"""Span-corruption denoising (T5's random spans) with the boxes of masked tokens hidden; paper section 2, DLM.

A masked span is one sentinel in the encoder and sentinel + span in the decoder's targets, as in T5. Rule at line ends:
a span that crosses one is cut in two, both parts masked, each under a sentinel of its own. So the share of masked
tokens stays exactly T5's, and the mean span gets shorter on short lines.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.objectives.settings import ObjectiveSettings
from model.tokenizer import EOS_ID, SENTINELS

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Corrupted:
    """A page's text after corruption, without the encoder's eos.

    Attributes:
        input_ids: int64 [S], sentinels in the places of masked spans.
        source: int64 [S], index of the original token at each position; a sentinel's is its span's first.
        end: int64 [S], index after the last original token of each position (source + 1 but for sentinels).
        is_sentinel: bool [S].
        labels: int64 [T], each sentinel followed by its span, then eos; empty when nothing is masked.
    """

    input_ids: Ints
    source: Ints
    end: Ints
    is_sentinel: NDArray[np.bool_]
    labels: Ints


def span_counts(tokens: int, density: float, mean_span: float) -> tuple[int, int]:
    """How many of `tokens` tokens are masked, and in how many spans; T5's rounding, (0, 0) below two tokens."""
    if tokens < 2:
        return 0, 0
    noise = min(max(round(tokens * density), 1), tokens - 1)
    spans = min(max(round(noise / mean_span), 1), noise, tokens - noise)
    return noise, spans


def random_spans(rng: np.random.Generator, tokens: int, density: float, mean_span: float) -> tuple[Ints, Ints]:
    """Starts and lengths (int64 [K] each) of T5's random masked spans over `tokens` tokens.

    Masked and kept tokens are each split at random into K runs of at least one token, which alternate beginning with
    a kept run: so the first token is never masked and the last always is, as in T5.
    """
    noise, spans = span_counts(tokens, density, mean_span)
    kept_runs = _random_parts(rng, tokens - noise, spans)
    lengths = _random_parts(rng, noise, spans)
    starts = np.cumsum(kept_runs) + np.cumsum(lengths) - lengths
    return starts, lengths


def _random_parts(rng: np.random.Generator, total: int, parts: int) -> Ints:
    """`total` split into `parts` positive parts, every split equally likely."""
    if parts == 0:
        return np.zeros(0, np.int64)
    if parts == 1:
        return np.array([total], np.int64)
    # The parts - 1 cuts are the places of the smallest of total - 1 uniform numbers.
    edges = np.empty(parts + 1, np.int64)
    edges[0], edges[-1] = 0, total
    edges[1:-1] = np.sort(np.argpartition(rng.random(total - 1), parts - 2)[: parts - 1]) + 1
    return edges[1:] - edges[:-1]


def cut_at_lines(starts: Ints, lengths: Ints, lines: Ints) -> tuple[Ints, Ints]:
    """The spans cut wherever the line id changes between neighbouring tokens; `lines` is the line of each token."""
    masked = spans_to_tokens(starts, lengths)
    first = np.zeros(len(masked) + 1, bool)
    first[1:-1] = lines[masked[1:]] != lines[masked[1:] - 1]
    first[np.cumsum(lengths) - lengths] = True
    first[-1] = True
    edges = np.flatnonzero(first)
    return masked[edges[:-1]], edges[1:] - edges[:-1]


def spans_to_tokens(starts: Ints, lengths: Ints) -> Ints:
    """Indices of all tokens in the spans, in order: int64 [sum of lengths]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


@lru_cache(maxsize=64)
def tokens_before_corruption(max_tokens: int, density: float, mean_span: float) -> int:
    """The most tokens that, corrupted without cuts, fill at most `max_tokens` encoder positions with eos."""

    def corrupted(tokens: int) -> int:
        noise, spans = span_counts(tokens, density, mean_span)
        return tokens - noise + spans + 1

    tokens = max_tokens - 1
    while corrupted(tokens + 1) <= max_tokens:
        tokens += 1
    return tokens


def corrupt(
    rng: np.random.Generator, ids: Ints, lines: Ints, sentinel_ids: Ints, settings: ObjectiveSettings
) -> Corrupted:
    """Mask random spans of a page's tokens.

    Of the spans, in order, those are kept whose targets fit the target budget with eos, that have a sentinel left, and
    whose sentinel is within the encoder's positions; the others stay unmasked. Positions past the encoder's are cut.

    Args:
        rng: the sample's generator for this objective.
        ids: int [M], the page's first tokens.
        lines: int [M], line id of each token.
        sentinel_ids: int64 [100], id of <extra_id_k> at k.
        settings: density, spans, budgets.
    """
    starts, lengths = random_spans(rng, len(ids), settings.noise_density, settings.mean_span_tokens)
    if settings.spans_within_lines:
        starts, lengths = cut_at_lines(starts, lengths, lines)
    text_room = settings.max_text_tokens - 1
    fits = np.cumsum(lengths + 1) <= settings.max_target_tokens - 1
    fits[SENTINELS:] = False
    # Encoder position of a sentinel: its first token's, less the tokens that earlier spans swallowed.
    fits &= starts - np.cumsum(lengths - 1) + (lengths - 1) < text_room
    spans = int(np.argmin(fits)) if not fits.all() else len(fits)
    return replace_spans(ids, starts[:spans], lengths[:spans], sentinel_ids, text_room)


def replace_spans(ids: Ints, starts: Ints, lengths: Ints, sentinel_ids: Ints, text_room: int) -> Corrupted:
    """Encoder text and targets for given spans (ordered, disjoint); the text is cut at `text_room` positions."""
    ids = ids.astype(np.int64)
    sentinels = sentinel_ids[: len(starts)]
    masked = spans_to_tokens(starts, lengths)
    keep = np.ones(len(ids), bool)
    keep[masked] = False
    keep[starts] = True
    is_sentinel = np.zeros(len(ids), bool)
    is_sentinel[starts] = True
    text = ids.copy()
    text[starts] = sentinels
    end = np.arange(1, len(ids) + 1)
    end[starts] += lengths - 1
    source = np.flatnonzero(keep)[:text_room]

    labels = np.zeros(0, np.int64)
    if len(starts):
        labels = np.empty(len(masked) + len(starts) + 1, np.int64)
        span = np.arange(len(starts))
        labels[np.cumsum(lengths) - lengths + span] = sentinels
        labels[np.arange(len(masked)) + np.repeat(span, lengths) + 1] = ids[masked]
        labels[-1] = EOS_ID
    return Corrupted(text[source], source, end[source], is_sentinel[source], labels)
