"""What limits a planned run, in sentences."""

import math
from typing import Any

from cluster.figures import figure
from cluster.planning.devices import GB
from cluster.planning.plan import Planner

# Samples that one core of the feed makes in a second (tests/benchmarks/samples.py).
FEED_SAMPLES_A_CORE = 400.0


def limits(planner: Planner, build: list[dict[str, Any]]) -> list[str]:
    """Sentences about what limits, the worst first; `build` as `build_on_nodes` gives it."""
    found, training = [], planner.training()
    used, has = planner.memory().total, planner.device_bytes()
    if used > 0.92 * has:
        found.append(
            f"memory: a worker needs {figure(used / GB)} of {has / GB:.0f} GB; lower micro_batch_pages (now "
            f"{planner.micro_batch}), raise zero (now {planner.run.zero}) or set activation_checkpointing"
        )
    found.append(f"a step's time: {training.limit}")
    cores = training.pages_a_second / FEED_SAMPLES_A_CORE
    found.append(
        f"the feed: {figure(training.pages_a_second)} pages/s, about {max(1, math.ceil(cores))} cores "
        f"of feed_processes over all workers"
    )
    reading = next(row for row in build if row["nodes"] == planner.plan.reading_nodes)
    if reading["hours"] > training.hours:
        found.append(
            f"the corpus takes longer than training ({figure(reading['hours'])} h on {reading['nodes']} nodes, "
            f"{figure(training.hours)} h): more reading nodes, or fewer pages by OCR (now {planner.plan.ocr_share:.0%})"
        )
    return found
