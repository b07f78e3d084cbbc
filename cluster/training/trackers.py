"""Where a run's figures go besides metrics.jsonl: TensorBoard and Ray's exporter, W&B and MLflow when asked for."""

import importlib
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cluster.training.ray_meters import RayMeters
from pipelines.errors import UsageError


class Tracker(Protocol):
    """Takes figures by name, a step at a time."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step."""

    def close(self) -> None:
        """Hand over what is left."""


class TensorBoard:
    """Event files in RUN/tensorboard; figures of steps after `resumed_at`, of an earlier start, are dropped."""

    def __init__(self, folder: Path, resumed_at: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=resumed_at + 1)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Add a point to each figure's curve."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


class WeightsAndBiases:
    """A run in a W&B project; on a resume the run goes on."""

    def __init__(self, run: Path, project: str, settings: Mapping[str, Any]) -> None:
        wandb = _installed("wandb", "wandb_project")
        kept = run / "wandb-run-id"
        if not kept.is_file():  # folders of many runs may have one name
            kept.write_text(secrets.token_hex(8) + "\n")
        name, known = "/".join(run.parts[-2:]), kept.read_text().strip()
        self._run = wandb.init(
            project=project, name=name, id=known, resume="allow", dir=str(run), config=dict(settings)
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log one step."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Finish the upload."""
        self._run.finish()


class MLflow:
    """A run in an MLflow experiment at $MLFLOW_TRACKING_URI; on a resume the run goes on."""

    def __init__(self, run: Path, experiment: str, settings: Mapping[str, Any]) -> None:
        self._mlflow = _installed("mlflow", "mlflow_experiment")
        self._mlflow.set_experiment(experiment)
        kept = run / "mlflow-run-id"
        known = kept.read_text().strip() if kept.is_file() else None
        started = self._mlflow.start_run(run_id=known, run_name=None if known else run.name)
        if known is None:
            kept.write_text(started.info.run_id + "\n")
            self._mlflow.log_params({name: str(value) for name, value in settings.items()})

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log one step."""
        self._mlflow.log_metrics(dict(figures), step=step)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


def _installed(name: str, setting: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{setting} needs the package {name}: pip install {name}, or leave {setting} out") from None


def refuse_missing(settings: Mapping[str, Any]) -> None:
    """Raise UsageError where a tracker is asked for whose package is not installed."""
    for package, setting in (("wandb", "wandb_project"), ("mlflow", "mlflow_experiment")):
        if settings[setting]:
            _installed(package, setting)


class Trackers:
    """All trackers of a run.

    Args:
        run: its folder.
        resumed_at: the step that this start goes on after.
        settings: of the run, by name; `wandb_project` and `mlflow_experiment` ask for those trackers.

    Raises:
        UsageError: a tracker is asked for whose package is not installed.
    """

    def __init__(self, run: Path, resumed_at: int, settings: Mapping[str, Any]) -> None:
        self._trackers: list[Tracker] = [TensorBoard(run / "tensorboard", resumed_at), RayMeters(run)]
        if settings["wandb_project"]:
            self._trackers.append(WeightsAndBiases(run, settings["wandb_project"], settings))
        if settings["mlflow_experiment"]:
            self._trackers.append(MLflow(run, settings["mlflow_experiment"], settings))

    def log(self, line: Mapping[str, Any]) -> None:
        """Take a line of metrics.jsonl: its finite numbers, under `train/` or `eval/`."""
        figures = {
            f"{line['split']}/{name}": float(value)
            for name, value in line.items()
            if isinstance(value, (int, float)) and math.isfinite(value) and name != "step"
        }
        for tracker in self._trackers:
            tracker.log(line["step"], figures)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._trackers:
            tracker.close()
