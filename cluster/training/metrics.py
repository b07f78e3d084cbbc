"""metrics.jsonl: one object a logged step, cut back on resume to the checkpoint that training goes on from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.runs.json_lines import JsonLines
from cluster.training.trackers import Trackers


class MetricsLog:
    """Appends lines to RUN/metrics.jsonl and to the run's trackers; only rank 0 has one.

    Args:
        path: of metrics.jsonl.
        step: that this start goes on after; lines of later steps are dropped.
        settings: of the run, by name.

    Raises:
        UsageError: a tracker is asked for whose package is not installed.
    """

    def __init__(self, path: Path, step: int, settings: Mapping[str, Any]) -> None:
        self._file = JsonLines(path)
        self._trackers = Trackers(path.parent, step, settings)
        kept = step or -1  # step 0 is evaluated anew
        self._file.keep(lambda line: int(line["step"]) <= kept)

    def append(self, values: Mapping[str, Any]) -> None:
        """Write one line; NaN and infinity, which JSON has not, become null."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.append(plain)
        self._trackers.log(values)

    def close(self) -> None:
        """Close the trackers."""
        self._trackers.close()
