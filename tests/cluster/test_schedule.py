"""The learning rate of each step."""

import pytest

from cluster.training.schedule import learning_rate


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    rates = [learning_rate(step, 12, peak=8.0, warmup=4, final_share=0.25) for step in range(1, 14)]
    assert rates[:4] == [2.0, 4.0, 6.0, 8.0]
    assert rates[7] == pytest.approx(5.0), "half-way between the peak and its share"
    assert rates[11] == rates[12] == pytest.approx(2.0)
    assert rates[3:12] == sorted(rates[3:12], reverse=True)


@pytest.mark.parametrize(("steps", "warmup"), [(3, 0), (3, 3), (3, 5), (1, 1)])
def test_a_run_may_be_all_warmup_or_none(steps: int, warmup: int) -> None:
    rates = [learning_rate(step, steps, 6.0, warmup, 0.0) for step in range(1, steps + 1)]
    assert rates == pytest.approx([6.0 * step / warmup for step in range(1, steps + 1)] if warmup else [4.5, 1.5, 0.0])
