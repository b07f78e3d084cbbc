"""Simulations against what can be said without them, and their single-node end against a real run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
import yaml

from cluster.planning.simulation import BuildModel, TrainingModel, TrainingOutcome, simulate_build, simulate_training
from cluster.settings import PretrainSettings

BUILD = BuildModel(workers_a_node=2, start_s=5, job_overhead_s=0, driver_s=0, finish_s=1)
TRAINING = TrainingModel(
    steps=1000,
    node_step_s=8.0,
    fixed_step_s=0.0,
    checkpoint_every=100,
    checkpoint_s=0.0,
    start_s=60,
    restart_s=30,
    min_nodes=1,
    preemptions_an_hour=0,
    return_s=600,
    notice_s=0,
)


def changed(**values: float) -> TrainingModel:
    return TrainingModel(**{**vars(TRAINING), **values})


def test_a_build_on_one_worker_is_the_sum_of_its_jobs() -> None:
    one = BuildModel(1, 5, 0.5, 0.0, 1)
    assert simulate_build([1, 2, 3], 1, one) == 5 + 6 + 3 * 0.5 + 1


def test_a_build_is_between_its_longest_job_and_its_fair_share() -> None:
    jobs = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0] * 50
    for nodes in (1, 4, 16):
        seconds = simulate_build(jobs, nodes, BUILD) - 6
        fair = sum(jobs) / (2 * nodes)
        assert fair <= seconds <= fair + max(jobs)


def test_the_driver_limits_a_build_on_a_thousand_nodes() -> None:
    busy = BuildModel(16, 0, 0, driver_s=0.01, finish_s=0)
    jobs = [1.0] * 20_000
    assert simulate_build(jobs, 1000, busy) == pytest.approx(20_000 * 0.01 + 1, rel=0.01)


def test_training_on_nodes_that_stay_takes_its_steps_and_its_start() -> None:
    for nodes in (1, 4, 1000):
        outcome = simulate_training(TRAINING, nodes)
        assert outcome.seconds == pytest.approx(60 + 1000 * 8 / nodes)
        assert outcome.node_seconds == pytest.approx(nodes * outcome.seconds)
        assert outcome.losses == 0


def test_preemption_costs_time_and_a_notice_saves_work() -> None:
    often = changed(preemptions_an_hour=2.0)
    runs = [simulate_training(often, 8, seed) for seed in range(40)]
    noticed = [simulate_training(changed(preemptions_an_hour=2.0, notice_s=30), 8, seed) for seed in range(40)]
    assert all(run.seconds > simulate_training(TRAINING, 8).seconds for run in runs if run.losses)
    assert sum(run.losses for run in runs) > 40
    assert all(run.repeated_steps == 0 for run in noticed)
    assert sum(run.repeated_steps for run in runs) > 0
    assert sum(run.seconds for run in noticed) < sum(run.seconds for run in runs)


def test_losses_come_as_often_as_said() -> None:
    # 20 nodes that are replaced at once lose a fifth of 20 an hour, whatever the seed.
    long = changed(steps=1_000_000, node_step_s=2.0, preemptions_an_hour=0.2, return_s=1e-3, restart_s=0.0)
    outcome = simulate_training(long, 20, seed=1)
    assert outcome.losses == pytest.approx(20 * 0.2 * outcome.seconds / 3600, rel=0.25)


def test_too_few_nodes_wait() -> None:
    alone = changed(preemptions_an_hour=3.0, return_s=900)
    outcome = simulate_training(alone, 1, seed=4)
    assert outcome.losses > 0
    assert outcome.seconds > 60 + 8000 + outcome.losses * 30
    assert outcome.node_seconds < outcome.seconds


def outcomes(nodes: int, **values: float) -> list[TrainingOutcome]:
    return [simulate_training(changed(preemptions_an_hour=2.0, **values), nodes, seed) for seed in range(40)]


def test_a_checkpoint_stalls_each_of_its_steps() -> None:
    assert simulate_training(changed(checkpoint_s=10.0), 4).seconds == pytest.approx(60 + 1000 * (2 + 0.1))


def test_a_notice_too_short_for_a_checkpoint_saves_nothing() -> None:
    assert all(run.repeated_steps == 0 for run in outcomes(8, notice_s=11, checkpoint_s=10))
    assert sum(run.repeated_steps for run in outcomes(8, notice_s=9, checkpoint_s=10)) > 0


def test_each_change_of_nodes_costs_a_restart() -> None:
    quick, slow = outcomes(4, notice_s=1, restart_s=0), outcomes(4, notice_s=1, restart_s=300)
    lost = sum(run.losses for run in quick)
    assert sum(run.seconds for run in slow) > sum(run.seconds for run in quick) + 200 * lost


def test_training_waits_for_the_fewest_nodes_that_it_needs() -> None:
    any_number, all_four = outcomes(4, notice_s=1), outcomes(4, notice_s=1, min_nodes=4)
    lost = sum(run.losses for run in all_four)
    assert lost > 40
    assert sum(run.seconds for run in all_four) > sum(run.seconds for run in any_number) + 100 * lost


def test_the_same_seed_gives_the_same_run() -> None:
    often = changed(preemptions_an_hour=1.0)
    assert simulate_training(often, 50, 7) == simulate_training(often, 50, 7)


@pytest.mark.slow
def test_one_node_is_foretold_from_a_shorter_run(tiny_run: Callable[..., PretrainSettings], tmp_path: Path) -> None:
    """Start and step of a run of 40 steps foretell one of 400, its checkpoints included."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(steps: int) -> tuple[float, float]:
        """Seconds of the whole command, and of a step of it."""
        settings = tiny_run(tmp_path / f"run-{steps}", steps=steps, eval_every=1000, checkpoint_every=40)
        config = tmp_path / f"{steps}.yaml"
        config.write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
        started = time.monotonic()
        command = [sys.executable, "-m", "cluster.cli", "pretrain", "--config", str(config)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds = time.monotonic() - started
        lines = map(json.loads, (Path(settings.out) / "metrics.jsonl").read_text().splitlines())
        return seconds, median(line["step_seconds"] for line in lines if line.get("split") != "eval")

    short, step_s = run(40)
    model = changed(steps=400, node_step_s=step_s, checkpoint_every=40, checkpoint_s=0.01, start_s=short - 40 * step_s)
    foretold, (real, _) = simulate_training(model, 1).seconds, run(400)
    assert foretold == pytest.approx(real, rel=0.3)
