"""The planned run and the planned build on 1 to 1,000 nodes, simulated."""

import math
from dataclasses import replace
from typing import Any

from cluster.planning.devices import GB
from cluster.planning.plan import Planner
from cluster.planning.simulation import BuildModel, TrainingModel, simulate_build, simulate_training

NODES = (1, 4, 16, 64, 256, 1000)
# One Ray Data task through the driver.
DRIVER_S = 0.003
JOB_PAGES = 256


def on_spot_nodes(planner: Planner, seed: int = 0) -> list[dict[str, Any]]:
    """The run on 1 to 1,000 spot nodes, simulated; nodes that the global batch cannot keep busy are left out."""
    run, plan, rows = planner.run, planner.plan, []
    a_node = planner.devices_a_node
    for nodes in NODES:
        if nodes * a_node > run.global_batch_pages:
            break
        page = planner.step_time.micro_batch / planner.micro_batch
        model = TrainingModel(
            steps=run.steps,
            node_step_s=page * run.global_batch_pages / a_node,
            fixed_step_s=planner.step_time.exchange + planner.step_time.update / (nodes * a_node if run.zero else 1),
            checkpoint_every=run.checkpoint_every,
            checkpoint_s=0.2 * 12 * planner.model.parameters / GB,
            start_s=60.0,
            restart_s=plan.restart_s,
            min_nodes=1,
            preemptions_an_hour=plan.preemptions_per_node_hour,
            return_s=plan.node_return_s,
            notice_s=30.0,
        )
        spot = simulate_training(model, nodes, seed)
        steady = simulate_training(replace(model, preemptions_an_hour=0.0), nodes, seed)
        rows.append(
            {
                "nodes": nodes,
                "hours": spot.seconds / 3600,
                "hours_undisturbed": steady.seconds / 3600,
                "nodes_lost": spot.losses,
                "dollars_spot": spot.node_seconds / 3600 * a_node * planner.price(spot=True),
                "dollars_on_demand": steady.node_seconds / 3600 * a_node * planner.price(spot=False),
            }
        )
    return rows


def build_on_nodes(planner: Planner) -> list[dict[str, Any]]:
    """The corpus build on 1 to 1,000 nodes, simulated."""
    plan, rows = planner.plan, []
    a_page = (1 - plan.ocr_share) / plan.text_pages_per_core_second + plan.ocr_share * plan.ocr_seconds_per_page
    jobs = [JOB_PAGES * a_page] * math.ceil(planner.pages / JOB_PAGES)
    for nodes in sorted({*NODES, plan.reading_nodes}):
        model = BuildModel(plan.cores_a_reading_node, 30.0, 0.1, DRIVER_S, 30.0)
        hours = simulate_build(jobs, nodes, model) / 3600
        cores = nodes * plan.cores_a_reading_node
        busy = sum(jobs) / 3600 / cores / hours
        rows.append(
            {
                "nodes": nodes,
                "hours": hours,
                "pages_a_second": planner.pages / hours / 3600,
                "cores_busy": busy,
                "dollars": hours * cores * plan.dollars_per_core_hour,
            }
        )
    return rows
