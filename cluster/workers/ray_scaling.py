"""How many workers train, and where: Ray Train's elastic policy, which this one tells of machines sooner.

Ray Train reads the machines there are from a list up to 20 s old, and Ray's own list keeps a machine that is gone for
about 15 s more: a group would be started on it in vain. Here the list is fresh, each machine's Ray must answer, and one
that has given notice of its end takes no new worker. Before a group grows it is asked for a checkpoint, so that growing
costs no step.
"""

import os
import socket
import time
from typing import Any

import ray
from ray._private.state import state as ray_state
from ray.exceptions import RayError
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller.state import (
    RestartingState,
    RunningState,
    SchedulingState,
    TrainControllerState,
)
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingDecision
from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroupPollStatus, WorkerGroupState

from cluster.runs.folder import RunFolder, newest_step

NODE_ID_LABEL = "ray.io/node-id"
ANSWER_TIMEOUT_S = 1.0
CALL_TIMEOUT_S = 5.0
WAIT_S = 0.5
# How long a group that ends may take to take leave of torch.distributed, which hangs where a worker is lost.
LEAVE_TAKING_S = 2


class MachineScaling(ElasticScalingPolicy):  # type: ignore[misc]
    """Decides the size of a run's worker group and notes each change of it in the run's events.

    Args:
        scaling_config: with the fewest and most workers, and what each books.
        run: the run's folder.
        notice_s: time from a machine's notice to its end, and longest wait for a checkpoint before growing.
    """

    def __init__(self, scaling_config: ScalingConfig, run: str, notice_s: float) -> None:
        super().__init__(scaling_config)
        self._run, self._notice_s = RunFolder(run), notice_s
        self._workers, self._began = 0, 0.0
        self._places: dict[str, str] = {}
        self._avoided: set[str] = set()
        self._cause = "machines came"
        self._waiting = False
        self._growth: tuple[ResizeDecision, int | None, float] | None = None

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        """Set what only the environment of Ray Train's controller, where this runs, can set."""
        os.environ.setdefault("TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S", str(LEAVE_TAKING_S))
        super().after_controller_start(train_run_context)

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """A group as large as the machines take, or none yet where that is fewer than the fewest."""
        decision = super().make_decision_for_non_running_worker_group()
        if isinstance(decision, NoopDecision):
            if not self._waiting:
                fewest = self.scaling_config.min_workers
                self._run.note("waiting", f"too few machines for {fewest} workers: waiting for more")
            time.sleep(WAIT_S)  # Ray Train asks again without a pause
        self._waiting = isinstance(decision, NoopDecision)
        return decision

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        """Growth, once a checkpoint has been written for it; a group shrinks by failing only."""
        self._places = {worker.metadata.node_id: worker.metadata.node_ip for worker in worker_group_state.workers}
        if self._growth is None:
            decision = super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)
            if isinstance(decision, ResizeDecision) and decision.num_workers > worker_group_state.num_workers:
                self._growth = decision, newest_step(self._run), time.monotonic() + self._notice_s
                self._run.save.touch()
            return NoopDecision()
        decision, step, deadline = self._growth
        if newest_step(self._run) == step and time.monotonic() < deadline:
            return NoopDecision()
        self._growth = None
        return decision

    def _count_possible_workers(self, reserved_resources: dict[str, dict[str, float]]) -> int:
        """Workers that fit, counted with fractions of a CPU too."""
        books = {name: amount for name, amount in self.scaling_config._resources_per_worker_not_none.items() if amount}
        fits = [
            min(int(resources.get(name, 0.0) / amount + 1e-6) for name, amount in books.items())
            for resources in reserved_resources.values()
        ]
        return min(sum(fits), int(self.scaling_config.max_workers))

    def _get_reserved_resources(self) -> dict[str, dict[str, float]] | None:
        """What is set aside for this run on each machine that can be used now, by the machine's id."""
        try:
            call = self._autoscaling_coordinator.get_reserved_resources.remote(self._requester_id, recompute=True)
            reserved: dict[str, dict[str, float]] = ray.get(call, timeout=CALL_TIMEOUT_S)
        except RayError:
            return None
        gone = {node["NodeID"] for node in ray.nodes() if not _answers(node)}
        leaving = set(ray_state.get_draining_nodes()) | {
            event["node"] for event in self._run.noted("leaving") if event["time"] > time.time() - self._notice_s
        }
        staying = {node: amounts for node, amounts in reserved.items() if node not in gone | leaving}
        if self._count_possible_workers(staying) < self.scaling_config.min_workers:
            leaving = set(ray_state.get_draining_nodes())  # better a machine that may go away than none
            staying = {node: amounts for node, amounts in reserved.items() if node not in gone | leaving}
        self._avoided = gone | leaving
        return staying

    def on_controller_start_worker_group(
        self, *, scaling_config: ScalingConfig, num_workers: int
    ) -> dict[str, str] | None:
        """Keep the new group off the machines that were not counted."""
        return {NODE_ID_LABEL: f"!in({','.join(sorted(self._avoided))})"} if self._avoided else None

    def after_controller_state_update(self, previous_state: TrainControllerState, state: TrainControllerState) -> None:
        """Note why a group ended, and the size of the next one."""
        if isinstance(state, RestartingState):
            self._growth = None
            self._cause = self._lost()
        elif isinstance(state, RunningState) and isinstance(previous_state, SchedulingState):
            workers = previous_state.scaling_decision.num_workers
            if self._workers:
                change = (
                    f"{self._workers} -> {workers} workers" if workers != self._workers else f"again {workers} workers"
                )
                self._run.note(
                    "resize",
                    f"step {newest_step(self._run) or 0}: {change}, {self._cause}",
                    step=newest_step(self._run) or 0,
                    before=self._workers,
                    after=workers,
                )
            self._workers, self._cause, self._began = workers, "machines came", time.time()

    def _lost(self) -> str:
        """In words, why the last group ended: a machine that is gone, or gave notice."""
        nodes: dict[str, dict[str, Any]] = {node["NodeID"]: node for node in ray.nodes()}
        lost = [f"{ip} ({node[:8]})" for node, ip in self._places.items() if not _answers(nodes.get(node, {}))]
        if lost:
            return f"lost node {', '.join(lost)}"
        notices = [event["text"] for event in self._run.noted("leaving") if event["time"] > self._began]
        return notices[-1] if notices else "after a worker ended"


def _answers(node: dict[str, Any]) -> bool:
    """Whether a machine of `ray.nodes()` is alive as far as Ray knows, and its Ray accepts a connection."""
    if not node.get("Alive"):
        return False
    try:
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), ANSWER_TIMEOUT_S).close()
    except OSError:
        return False
    return True
