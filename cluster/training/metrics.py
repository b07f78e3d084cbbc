"""metrics.jsonl: one object a logged step, cut back on resume to the checkpoint that training goes on from."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.training.trackers import Trackers
from pipelines.corpus.shards import write_text


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
        self._path = path
        self._trackers = Trackers(path.parent, step, settings)
        self._cut_back(step if step else -1)  # step 0 is evaluated anew

    def _cut_back(self, step: int) -> None:
        """Drop lines of steps after `step`, and a last line that a kill left unfinished."""
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                wanted = int(json.loads(line)["step"]) <= step
            except (ValueError, KeyError, TypeError):
                break
            if wanted:
                kept.append(line + "\n")
        write_text(self._path, "".join(kept))

    def append(self, values: Mapping[str, Any]) -> None:
        """Write one line; NaN and infinity, which JSON has not, become null."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")
        self._trackers.log(values)

    def close(self) -> None:
        """Close the trackers."""
        self._trackers.close()
