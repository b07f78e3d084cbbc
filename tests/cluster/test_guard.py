"""What the guard calls trouble, and what it remembers across a resume."""

import json
import math
from dataclasses import replace

import pytest

from cluster.training.guard import Guard, Policy

POLICY = Policy(on_nan="skip", on_spike="rewind", loss_factor=2.0, norm_factor=10.0, window=5, limit=2)


def seen(*losses: float, policy: Policy = POLICY) -> Guard:
    guard = Guard(policy)
    for loss in losses:
        guard.judge(loss, 1.0)
    return guard


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (-math.inf, 1.0), (1.0, math.nan)])
def test_what_is_no_number_is_trouble_from_the_first_step(loss: float, norm: float) -> None:
    trouble = Guard(POLICY).judge(loss, norm)
    assert trouble is not None
    assert (trouble.kind, trouble.action) == ("nan", "skip")


def test_a_spike_is_far_above_the_median_of_a_full_window() -> None:
    assert seen(1, 1, 1, 1).judge(100.0, 1.0) is None, "the window is not full yet"
    guard = seen(1, 1, 1, 9, 1)
    assert guard.judge(1.9, 9.9) is None
    by_loss, by_norm = guard.judge(2.1, 1.0), guard.judge(1.0, 11.0)
    assert by_loss is not None
    assert by_norm is not None
    assert by_loss.text == "the loss is 2.1, usually 1"
    assert by_norm.action == "rewind"
    assert guard.troubles == 2


def test_what_was_left_out_does_not_raise_the_median_and_what_was_only_noted_does() -> None:
    strict, lenient = seen(*[1.0] * 5), seen(*[1.0] * 5, policy=replace(POLICY, on_spike="record"))
    for guard in (strict, lenient):
        for _ in range(2):
            assert guard.judge(50.0, 1.0) is not None
    assert (strict.troubles, lenient.troubles) == (2, 0)
    lenient.judge(50.0, 1.0)
    assert lenient.judge(50.0, 1.0) is None, "a level that stays is no spike any more"


def test_the_limit_turns_any_policy_into_a_stop() -> None:
    guard = seen(1.0)
    actions = [guard.judge(math.nan, 1.0).action for _ in range(3)]  # type: ignore[union-attr]
    assert actions == ["skip", "skip", "stop"]


def test_its_state_survives_json_and_judges_alike() -> None:
    before = seen(1 / 3, 2 / 3, 1.0, 0.1, 0.7, 0.2)
    before.judge(math.nan, 1.0)
    after = Guard(POLICY)
    after.restore(json.loads(json.dumps(before.state())))
    assert after.state() == before.state()
    for loss in (1.33, 1.34, 0.5, 9.0):
        assert before.judge(loss, 1.0) == after.judge(loss, 1.0)
    after.restore(seen(1.0).state(), keep_count=True)
    assert after.troubles == before.troubles
