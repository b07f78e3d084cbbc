"""The order of samples is a permutation, the same from anywhere, at any number of workers."""

import numpy as np

from cluster.order import SampleOrder, held_out_bound, is_held_out, share


def rows(sizes: list[int]) -> list[np.ndarray]:
    return [np.arange(size) for size in sizes]


def test_each_epoch_is_a_permutation_and_epochs_differ() -> None:
    order = SampleOrder(rows([5, 0, 7, 3, 9, 1, 4]), seed=1, window_groups=2)
    assert order.samples_an_epoch == 29
    epochs = [[(p.group, p.row) for p in order.places(29 * epoch, 29)] for epoch in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == 29
    assert epochs[0] != epochs[1] != epochs[2]
    assert {p.epoch for p in order.places(29, 29)} == {1}


def test_any_position_is_reached_alone() -> None:
    sizes = [5, 7, 3, 9, 1, 4] * 20
    straight = SampleOrder(rows(sizes), seed=3).places(0, 1200)
    for start in (0, 1, 17, 579, 580, 1100):
        assert SampleOrder(rows(sizes), seed=3).places(start, 20) == straight[start : start + 20]


def test_shares_make_the_batch_at_any_world_size() -> None:
    for world in (1, 2, 3, 4, 7):
        parts = [share(10, rank, world) for rank in range(world)]
        assert [n for first, end in parts for n in range(first, end)] == list(range(10))
        assert max(e - f for f, e in parts) - min(e - f for f, e in parts) <= 1


def test_seed_changes_the_order() -> None:
    assert SampleOrder(rows([9] * 9), seed=1).places(0, 9) != SampleOrder(rows([9] * 9), seed=2).places(0, 9)


def test_held_out_share() -> None:
    documents = [f"{number:064x}" for number in range(4000)]
    bound = held_out_bound(documents, 0.1)
    assert 320 < sum(is_held_out(doc, bound) for doc in documents) < 480
    nothing = held_out_bound(documents, 0.0)
    assert not any(is_held_out(doc, nothing) for doc in documents)


def test_few_documents_are_on_both_sides() -> None:
    for documents in (["a", "b"], ["a", "b", "c", "d", "e"]):
        for fraction in (0.001, 0.5, 0.999):
            bound = held_out_bound(documents, fraction)
            assert 0 < sum(is_held_out(doc, bound) for doc in documents) < len(documents)
    assert not is_held_out("a", held_out_bound(["a", "a"], 0.9))
