"""Discrete-event simulations of a corpus build and of training on machines that are taken away and come back.

Time moves from event to event (a job ends, a node goes, a node returns); the same seed gives the same run.
"""

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildModel:
    """A corpus build: how long a job's pages take, and what is paid around them.

    Attributes:
        workers_a_node: processes that read at once on one node.
        start_s: from the command to the first job, inventory included.
        job_overhead_s: of a worker between two jobs.
        driver_s: of the one driver for each job; what limits at many nodes.
        finish_s: after the last job.
    """

    workers_a_node: int
    start_s: float
    job_overhead_s: float
    driver_s: float
    finish_s: float


def simulate_build(job_seconds: Sequence[float], nodes: int, model: BuildModel) -> float:
    """Seconds of a build whose jobs, in order, take `job_seconds` of a worker each, on `nodes` nodes."""
    free = [model.start_s] * (nodes * model.workers_a_node)
    driver = end = model.start_s
    for seconds in job_seconds:
        worker = heapq.heappop(free)
        driver = max(driver, worker) + model.driver_s
        done = driver + model.job_overhead_s + seconds
        end = max(end, done)
        heapq.heappush(free, done)
    return end + model.finish_s


@dataclass(frozen=True)
class TrainingModel:
    """Elastic training with a constant global batch.

    Attributes:
        steps: optimizer steps of the run.
        node_step_s: seconds of a step if one node did it all.
        fixed_step_s: part of a step that does not shrink with the number of nodes (exchange, update).
        checkpoint_every: steps between checkpoints; work since the last is done again after a loss.
        checkpoint_s: that a checkpoint stalls training.
        start_s: from nothing to the first step, at the beginning.
        restart_s: from a change of nodes to the next step.
        min_nodes: fewer, and training waits.
        preemptions_an_hour: of one node, on average; 0 for nodes that stay.
        return_s: after which a lost node is replaced, on average.
        notice_s: of warning before a node goes: a checkpoint is saved then if it takes less. 0 for none.
    """

    steps: int
    node_step_s: float
    fixed_step_s: float
    checkpoint_every: int
    checkpoint_s: float
    start_s: float
    restart_s: float
    min_nodes: int
    preemptions_an_hour: float
    return_s: float
    notice_s: float


@dataclass(frozen=True)
class TrainingOutcome:
    """How a simulated run went.

    Attributes:
        seconds: from start to end.
        node_seconds: paid for.
        losses: nodes that were taken away.
        repeated_steps: done again because they were after the last checkpoint.
    """

    seconds: float
    node_seconds: float
    losses: int
    repeated_steps: float


def simulate_training(model: TrainingModel, nodes: int, seed: int = 0) -> TrainingOutcome:
    """One run on at most `nodes` nodes."""
    chance = random.Random(seed)
    now, paid, done, saved, alive = 0.0, 0.0, 0.0, 0.0, nodes
    losses, repeated = 0, 0.0
    ready = model.start_s  # when steps are made again
    returns: list[float] = []
    loss = _next_loss(chance, model, alive, now)
    while True:
        per_step = _step_seconds(model, alive) if alive >= model.min_nodes else math.inf
        finish = max(now, ready) + (model.steps - done) * per_step
        event = min(finish, loss, returns[0] if returns else math.inf)
        paid += alive * (event - now)
        done = min(model.steps, done + max(0.0, event - max(now, ready)) / per_step)
        saved = max(saved, math.floor(done / model.checkpoint_every) * model.checkpoint_every)
        now = event
        if event == finish:
            return TrainingOutcome(now, paid, losses, repeated)
        if event == loss:
            if model.notice_s > model.checkpoint_s:
                saved = done
            alive, losses = alive - 1, losses + 1
            heapq.heappush(returns, now + chance.expovariate(1 / model.return_s))
        else:  # a node comes: the group saves, stops and starts again with it
            heapq.heappop(returns)
            saved, alive = done, alive + 1
        repeated, done = repeated + done - saved, saved
        ready = now + model.restart_s
        loss = _next_loss(chance, model, alive, now)


def _step_seconds(model: TrainingModel, nodes: int) -> float:
    return model.node_step_s / nodes + model.fixed_step_s + model.checkpoint_s / model.checkpoint_every


def _next_loss(chance: random.Random, model: TrainingModel, alive: int, now: float) -> float:
    """When the next of `alive` nodes goes; memoryless, so that it may be drawn anew at every event."""
    rate = alive * model.preemptions_an_hour / 3600
    return now + chance.expovariate(rate) if rate else math.inf
