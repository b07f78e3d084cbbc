"""A run's figures as metrics of the Ray cluster it runs on."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.meters import TRAINING, put
from pipelines.run_id import run_id


class RayMeters:
    """A tracker that keeps the newest value of each figure for Ray's exporter; nothing without Ray."""

    def __init__(self, run: Path) -> None:
        self._run = run_id(run.name)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Set the figures that are exported."""
        for name, value in {**figures, "train/step": float(step)}.items():
            if name in TRAINING:
                put(TRAINING[name], value, self._run)

    def close(self) -> None:
        """Nothing is buffered here."""
