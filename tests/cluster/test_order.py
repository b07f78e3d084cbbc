"""The order of samples is a permutation, the same from anywhere, at any number of workers."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cluster.samples.held_out import document_hash, held_out_bound, is_held_out
from cluster.samples.mixture import Mixture, WeightedCorpus
from cluster.samples.order import Place, SampleOrder, share
from cluster.samples.page_index import PageIndex


def order_of(sizes: list[int], seed: int, window_groups: int = 16) -> SampleOrder:
    return SampleOrder(PageIndex.of_sizes(sizes), [1], seed, window_groups)


def pages(places: list[Place]) -> list[tuple[int, int]]:
    return [(place.group, place.row) for place in places]


def test_each_epoch_is_a_permutation_and_epochs_differ() -> None:
    order = order_of([5, 0, 7, 3, 9, 1, 4] * 3, seed=1, window_groups=8)
    assert order.training_pages == 87
    epochs = [pages(order.places(87 * epoch, 87)) for epoch in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == 87
    assert epochs[0] != epochs[1] != epochs[2]
    assert {p.epoch for p in order.places(87, 87)} == {1}
    assert [order.epoch(number) for number in (0, 86, 87, 173, 174)] == [0, 0, 1, 1, 2]


def test_any_position_is_reached_alone() -> None:
    sizes = [5, 7, 3, 9, 1, 4] * 20
    straight = order_of(sizes, seed=3).places(0, 1200)
    for start in (0, 1, 17, 579, 580, 1100):
        assert order_of(sizes, seed=3).places(start, 20) == straight[start : start + 20]


def test_a_batch_holds_its_samples_and_each_row_group_in_one_stretch() -> None:
    order = order_of([8] * 40, seed=5, window_groups=10)
    for first in (0, 48, 304):  # the last one runs into the next epoch
        batch = order.batch(first, 48)
        assert sorted(batch) == sorted(order.places(first, 48))
        groups = [(place.epoch, place.group) for place in batch]
        changes = sum(a != b for a, b in pairwise(groups))
        assert changes == len(set(groups)) - 1


def test_shares_make_the_batch_at_any_world_size() -> None:
    for world in (1, 2, 3, 4, 7):
        parts = [share(10, rank, world) for rank in range(world)]
        assert [n for first, end in parts for n in range(first, end)] == list(range(10))
        assert max(e - f for f, e in parts) - min(e - f for f, e in parts) <= 1


def test_seed_changes_the_order() -> None:
    assert order_of([9] * 9, seed=1).places(0, 9) != order_of([9] * 9, seed=2).places(0, 9)


@pytest.mark.parametrize("weights", [[1.0], [0.7, 0.3], [1, 1, 1], [5, 0.01, 2, 1]])
def test_a_mixture_has_its_shares_in_every_stretch(weights: list[float]) -> None:
    mixture = Mixture(weights)
    drawn = [mixture.at(number) for number in range(3000)]
    for corpus in range(len(weights)):
        assert [own for which, own in drawn if which == corpus] == list(range(mixture.counts(3000)[corpus]))
    wanted = np.array(weights) / sum(weights)
    for first, end in ((0, 3000), (100, 200), (1000, 1064), (10**15, 10**15 + 64)):
        counts = np.array(mixture.counts(end)) - np.array(mixture.counts(first))
        assert np.abs(counts - wanted * (end - first)).max() < len(weights)


def test_corpora_in_a_mixture_have_epochs_of_their_own() -> None:
    index = PageIndex.of_sizes([5] * 4 + [5] * 20)
    mixed = PageIndex(np.array([0, 4, 24]), np.array([0, 4, 24]), index.sizes, index.training, index.kept_out, 0)
    order = SampleOrder(mixed, [0.5, 0.5], seed=2)
    batches = [order.batch(20 * number, 20) for number in range(10)]
    small = [place for batch in batches for place in batch if place.group < 4]
    assert Counter(place.epoch for place in small) == dict.fromkeys(range(5), 20)
    for epoch in range(5):
        assert len({(place.group, place.row) for place in small if place.epoch == epoch}) == 20
    large = [place for batch in batches for place in batch if place.group >= 4]
    assert len(set(pages(large))) == len(large) == 100
    for batch in batches:  # both halves of a batch hold both corpora alike
        assert abs(sum(p.group < 4 for p in batch[:10]) - sum(p.group < 4 for p in batch[10:])) <= 1
    assert order.epoch(198) == 0
    assert order.epoch(200) == 1


def two_corpora(groups: int, weights: list[float], window_groups: int) -> SampleOrder:
    """Two corpora of as many row groups of four pages each."""
    index = PageIndex.of_sizes([4] * 2 * groups)
    both = np.array([0, groups, 2 * groups])
    mixed = PageIndex(both, both, index.sizes, index.training, index.kept_out, 0)
    return SampleOrder(mixed, weights, 3, window_groups)


def test_each_window_and_each_corpus_is_permuted_in_its_own_way() -> None:
    order = two_corpora(128, [1, 1], window_groups=32)
    patterns = set()
    for corpus in range(2):
        own = [place for place in order.places(0, 1024) if place.group // 128 == corpus]
        assert len(own) == 512
        for start in range(0, 512, 64):
            window = own[start : start + 64]
            assert len({place.group for place in window}) == 16, "half of the row groups in memory are the corpus's"
            patterns.add(tuple((place.turn % 16, place.row) for place in window))
    assert len(patterns) == 16
    first, second = (order._corpora[corpus]._groups % 128 for corpus in range(2))
    assert first.tolist() != second.tolist()


def test_each_stretch_of_a_batch_holds_the_corpora_in_their_shares() -> None:
    for place in range(5):
        batch = two_corpora(64, [3, 1], window_groups=32).batch(48 * place, 48)
        for start in range(0, 48, 8):
            assert abs(sum(one.group >= 64 for one in batch[start : start + 8]) - 2) <= 1


def test_an_index_takes_the_place_of_another_at_once(tmp_path: Path) -> None:
    """Workers of an earlier start may still be reading it."""
    file = tmp_path / "pages.npz"
    PageIndex.of_sizes([3, 4]).save(file, "first")
    before = file.read_bytes()
    with file.open("rb") as reader:
        PageIndex.of_sizes([5]).save(file, "second")
        assert reader.read() == before
    assert [path.name for path in tmp_path.iterdir()] == ["pages.npz"]


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [("a", "a", 1.0), ("a=0.7", "a", 0.7), ("a=b", "a=b", 1.0), ("a=3=2", "a=3", 2.0), ("=2", "=2", 1.0)],
)
def test_corpora_are_given_with_or_without_a_weight(text: str, path: str, weight: float) -> None:
    corpus = WeightedCorpus.parse(text)
    assert corpus == WeightedCorpus(path, weight)
    assert WeightedCorpus.parse(str(corpus)) == corpus


@pytest.mark.parametrize("text", ["a=0", "a=-1", "a=nan", "a=inf"])
def test_a_weight_is_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        WeightedCorpus.parse(text)


def test_an_index_of_100_million_pages_gives_any_position_at_once(tmp_path: Path) -> None:
    """Made of row counts alone; a worker that resumes has its place in less than 2 s."""
    import resource
    import time

    sizes = np.full(100_000_000 // 32, 32, np.int32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    order = SampleOrder(PageIndex.of_sizes(sizes), [1], seed=0)
    batch = order.batch(754_321_012, 1024)
    assert time.process_time() - started < 2
    assert {place.epoch for place in batch} == {7}
    assert len(set(batch)) == 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 400, "MB"

    started = time.process_time()
    PageIndex.of_sizes(sizes).save(tmp_path / "pages.npz", "of these")
    assert PageIndex.load(tmp_path / "pages.npz", "of these") is not None
    assert time.process_time() - started < 2
    assert PageIndex.load(tmp_path / "pages.npz", "of others") is None
    assert PageIndex.load(tmp_path / "none.npz", "of these") is None


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_damaged_index_is_made_anew(tmp_path: Path, left: int) -> None:
    file = tmp_path / "pages.npz"
    PageIndex.of_sizes([3, 4]).save(file, "of these")
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert PageIndex.load(file, "of these") is None
    file.write_bytes(whole.replace(b"sizes", b"seizes"))
    assert PageIndex.load(file, "of these") is None


def bound_of(documents: list[str], fraction: float) -> int:
    hashes = [document_hash(doc_id) for doc_id in documents]
    return held_out_bound(min(hashes), max(hashes), fraction)


def test_held_out_share() -> None:
    documents = [f"{number:064x}" for number in range(4000)]
    bound = bound_of(documents, 0.1)
    assert 320 < sum(is_held_out(doc, bound) for doc in documents) < 480
    nothing = bound_of(documents, 0.0)
    assert not any(is_held_out(doc, nothing) for doc in documents)


def test_few_documents_are_on_both_sides() -> None:
    for documents in (["a", "b"], ["a", "b", "c", "d", "e"]):
        for fraction in (0.001, 0.5, 0.999):
            bound = bound_of(documents, fraction)
            assert 0 < sum(is_held_out(doc, bound) for doc in documents) < len(documents)
    assert not is_held_out("a", bound_of(["a", "a"], 0.9))
