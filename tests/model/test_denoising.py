import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.objectives.denoising import (
    Corrupted,
    corrupt,
    cut_at_lines,
    random_spans,
    span_counts,
    spans_to_tokens,
    tokens_before_corruption,
)
from model.objectives.randomness import sample_rng
from model.objectives.settings import ObjectiveSettings
from model.tokenizer import EOS_ID

VOCABULARY = 1_000
SENTINEL_IDS = np.arange(VOCABULARY - 1, VOCABULARY - 101, -1, dtype=np.int64)


def rng_of(number: int) -> np.random.Generator:
    return sample_rng(0, 0, str(number), "denoising")


def settings(**changes: object) -> ObjectiveSettings:
    return ObjectiveSettings.model_validate(changes)


def restore(text: Corrupted) -> list[int]:
    """The original tokens: each sentinel of the text replaced by what the targets say it hid."""
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in text.labels.tolist():
        if token in SENTINEL_IDS:
            current = spans.setdefault(token, [])
        elif token != EOS_ID:
            current.append(token)
    restored: list[int] = []
    for token in text.input_ids.tolist():
        restored += spans.get(token, [token])
    return restored


def pages(longest: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Tokens (text ids only) and their lines, which need not increase: reading order may go to another column."""
    token = st.tuples(st.integers(3, VOCABULARY - 101), st.integers(0, 6))
    return st.lists(token, max_size=longest).map(
        lambda tokens: (np.array([t for t, _ in tokens], np.int64), np.array([n for _, n in tokens], np.int64))
    )


def test_statistics_without_the_line_limit_are_t5s_over_10_000_samples() -> None:
    masked = kept = spans = 0
    sampler = np.random.default_rng(0)
    for number in range(10_000):
        tokens = int(sampler.integers(100, 513))
        starts, lengths = random_spans(rng_of(number), tokens, 0.15, 3.0)
        assert starts[0] > 0
        assert starts[-1] + lengths[-1] == tokens
        assert (lengths > 0).all()
        assert (starts[1:] > starts[:-1] + lengths[:-1]).all(), "kept tokens stand between spans"
        masked, kept, spans = masked + int(lengths.sum()), kept + tokens - int(lengths.sum()), spans + len(lengths)
    assert masked / (masked + kept) == pytest.approx(0.15, abs=0.001)
    assert masked / spans == pytest.approx(3.0, abs=0.03)


def test_span_places_are_uniform() -> None:
    # 20 tokens, 3 masked in one span at the end; density 0.2, mean 2: two spans, every split of 4 equally likely.
    lengths = np.array([random_spans(rng_of(n), 20, 0.2, 2.0)[1] for n in range(6_000)])
    assert lengths.shape == (6_000, 2)
    shares = np.bincount(lengths[:, 0], minlength=4)[1:] / 6_000
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    starts = np.array([random_spans(rng_of(n), 20, 0.2, 2.0)[0][0] for n in range(6_000)])
    shares = np.bincount(starts, minlength=16)[1:16] / 6_000
    assert shares == pytest.approx([1 / 15] * 15, abs=0.015)


def test_with_the_line_limit_the_density_stays_and_the_mean_span_shrinks() -> None:
    def mean_span(tokens_a_line: int) -> tuple[float, float]:
        masked = spans = 0
        lines = np.arange(400) // tokens_a_line
        for number in range(2_000):
            _, lengths = cut_at_lines(*random_spans(rng_of(number), 400, 0.15, 3.0), lines)
            masked, spans = masked + int(lengths.sum()), spans + len(lengths)
        return masked / (2_000 * 400), masked / spans

    long_lines, short_lines = mean_span(25), mean_span(5)
    assert long_lines[0] == pytest.approx(0.15, abs=1e-9)
    assert short_lines[0] == pytest.approx(0.15, abs=1e-9)
    # Each of the (length - 1) inner edges of a span is a line end with probability 1 / tokens_a_line.
    assert long_lines[1] == pytest.approx(3 / (1 + 2 / 25), rel=0.01)
    assert short_lines[1] == pytest.approx(3 / (1 + 2 / 5), rel=0.01)


@given(pages(700), st.integers(0, 10_000), st.booleans())
def test_merging_text_and_targets_gives_the_original_tokens(
    page: tuple[np.ndarray, np.ndarray], number: int, within_lines: bool
) -> None:
    ids, lines = page
    options = settings(spans_within_lines=within_lines, max_text_tokens=10_000, max_target_tokens=10_000)
    assert restore(corrupt(rng_of(number), ids, lines, SENTINEL_IDS, options)) == ids.tolist()


@given(pages(300), st.integers(0, 10_000), st.integers(2, 80), st.integers(3, 40), st.floats(0.05, 0.6))
def test_budgets_hold_and_a_cut_page_is_a_beginning(
    page: tuple[np.ndarray, np.ndarray], number: int, text: int, targets: int, density: float
) -> None:
    ids, lines = page
    options = settings(max_text_tokens=text, max_target_tokens=targets, noise_density=density)
    result = corrupt(rng_of(number), ids, lines, SENTINEL_IDS, options)
    assert len(result.input_ids) <= text - 1
    assert len(result.labels) <= targets
    restored = restore(result)
    assert restored == ids[: len(restored)].tolist()
    sentinels = result.input_ids[result.is_sentinel]
    assert sentinels.tolist() == SENTINEL_IDS[: len(sentinels)].tolist(), "<extra_id_0> first, none left out"
    assert result.labels[np.isin(result.labels, SENTINEL_IDS)].tolist() == sentinels.tolist()
    assert (len(result.labels) == 0) == (len(sentinels) == 0)
    if len(sentinels):
        assert result.labels[-1] == EOS_ID


def test_a_span_at_the_edge_of_a_budget_is_kept_and_one_beyond_it_is_not() -> None:
    ids, lines = np.arange(3, 303), np.zeros(300, np.int64)

    def found(text: int, targets: int) -> list[Corrupted]:
        options = settings(max_text_tokens=text, max_target_tokens=targets, noise_density=0.4)
        return [corrupt(rng_of(number), ids, lines, SENTINEL_IDS, options) for number in range(100)]

    assert max(len(result.labels) for result in found(500, 12)) == 12
    edge = found(60, 500)
    assert {len(result.input_ids) for result in edge} == {59}
    assert any(result.is_sentinel[-1] for result in edge)
    for result in edge:
        asked = result.labels[np.isin(result.labels, SENTINEL_IDS)]
        assert asked.tolist() == result.input_ids[result.is_sentinel].tolist(), "targets of what the encoder sees"


@given(pages(300), st.integers(0, 10_000))
def test_no_span_crosses_a_line_end(page: tuple[np.ndarray, np.ndarray], number: int) -> None:
    ids, lines = page
    result = corrupt(rng_of(number), ids, lines, SENTINEL_IDS, settings(noise_density=0.5, mean_span_tokens=5))
    for start, end in zip(result.source[result.is_sentinel], result.end[result.is_sentinel], strict=True):
        assert len(set(lines[start:end].tolist())) == 1


@given(pages(200), st.integers(0, 1_000))
def test_cutting_keeps_the_masked_tokens(page: tuple[np.ndarray, np.ndarray], number: int) -> None:
    ids, lines = page
    starts, lengths = random_spans(rng_of(number), len(ids), 0.3, 4.0)
    cut = cut_at_lines(starts, lengths, lines)
    assert spans_to_tokens(*cut).tolist() == spans_to_tokens(starts, lengths).tolist()
    assert len(cut[0]) >= len(starts)


@given(st.integers(0, 5_000), st.floats(0.01, 0.99), st.floats(1, 20))
def test_counts_leave_something_masked_and_something_kept(tokens: int, density: float, mean: float) -> None:
    noise, spans = span_counts(tokens, density, mean)
    if tokens < 2:
        assert (noise, spans) == (0, 0)
    else:
        assert 1 <= spans <= noise <= tokens - spans


@pytest.mark.parametrize("tokens", [2, 3, 4, 5])
def test_tiny_pages_have_their_last_token_masked(tokens: int) -> None:
    ids = np.arange(3, 3 + tokens)
    result = corrupt(rng_of(1), ids, np.zeros(tokens, np.int64), SENTINEL_IDS, settings())
    assert result.input_ids.tolist() == [*ids[:-1].tolist(), SENTINEL_IDS[0]]
    assert result.labels.tolist() == [SENTINEL_IDS[0], ids[-1], EOS_ID]


@pytest.mark.parametrize("tokens", [0, 1])
def test_pages_too_short_to_mask_have_no_targets(tokens: int) -> None:
    ids = np.arange(3, 3 + tokens)
    result = corrupt(rng_of(1), ids, np.zeros(tokens, np.int64), SENTINEL_IDS, settings())
    assert result.input_ids.tolist() == ids.tolist()
    assert not len(result.labels)


def test_at_most_a_hundred_sentinels() -> None:
    ids = np.full(2_000, 5)
    options = settings(max_text_tokens=4_000, max_target_tokens=4_000)
    result = corrupt(rng_of(0), ids, np.arange(2_000), SENTINEL_IDS, options)
    assert int(result.is_sentinel.sum()) == 100
    assert len(restore(result)) == 2_000


@pytest.mark.parametrize("room", [2, 16, 512])
def test_the_page_before_corruption_fills_the_encoder_exactly(room: int) -> None:
    tokens = tokens_before_corruption(room, 0.15, 3.0)
    noise, spans = span_counts(tokens, 0.15, 3.0)
    assert tokens - noise + spans + 1 <= room
    noise, spans = span_counts(tokens + 1, 0.15, 3.0)
    assert tokens + 1 - noise + spans + 1 > room
