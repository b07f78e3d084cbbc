"""Runs seen from outside, while they train or after: what state each is in, how far, how well and how fast."""

import fcntl
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cluster.runs.folder import RunFolder, settings_of
from cluster.runs.scores import read_metrics
from pipelines.errors import UsageError

RECENT_STEPS = 20
STARTING_S = 180.0  # a launch that is younger and has no worker yet is starting
PATTERNS = ("facts.json", "*/facts.json", "*/*/facts.json")
HEAD = (
    *("run", "state", "step", "loss", "held out", "text", "unigram", "samples/s", "wait", "left", "GB", "workers"),
    *("restarts", "troubles"),
)
ALIVE = ("starting", "running")


@dataclass(frozen=True)
class RunView:
    """One run as it stands.

    Attributes:
        run: its folder.
        state: starting, running, finished, stopped (by a signal), failed (with an error), or killed (without a word).
        step, steps: done and wanted.
        loss: of the last logged step.
        held_out: last held-out loss.
        held_out_text: last held-out loss of masked words; `unigram` is what word frequency alone gives.
        samples_per_second, data_wait: medians of the last steps; the wait is a share of a step's time.
        seconds_left: at that speed; None where it does not run.
        mfu: median of the last steps; None on a device without a known peak.
        peak_memory_gb: of the worker that needs most.
        workers: of the last logged step.
        restarts: starts after the first.
        troubles: updates skipped or rewound.
        error: the last error, empty where there is none.
    """

    run: str
    state: str
    step: int
    steps: int
    loss: float | None
    held_out: float | None
    held_out_text: float | None
    unigram: float | None
    samples_per_second: float | None
    data_wait: float | None
    seconds_left: float | None
    mfu: float | None
    peak_memory_gb: float | None
    workers: int | None
    restarts: int
    troubles: int
    error: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def find_runs(places: Iterable[Path]) -> list[RunFolder]:
    """The runs at `places`: each a run's folder, or a folder with runs in it at any depth down to two.

    Raises:
        UsageError: a place holds no run.
    """
    found: dict[Path, RunFolder] = {}
    for place in places:
        here = [path.parent for pattern in PATTERNS for path in place.glob(pattern)]
        if not here:
            raise UsageError(f"{place}: holds no run; give the folder of a `docformer pretrain` run, or one of runs")
        found.update({path.absolute(): RunFolder(path) for path in sorted(here)})
    return list(found.values())


def look_at(run: RunFolder) -> RunView:
    """The run as it stands now."""
    training, evaluations = read_metrics(run.path) if run.metrics.is_file() else ([], [])
    last, scores = (training or [{}])[-1], (evaluations or [{}])[-1]
    settings = settings_of(run)
    recent = training[-RECENT_STEPS:]
    step = max(int(last.get("step", 0)), int(scores.get("step", 0)))
    events = run.noted()
    state = _state(run, events)
    seconds = _median(recent, "step_seconds")
    waits = [line["data_wait"] / line["step_seconds"] for line in recent if line.get("step_seconds")]
    errors = [event["text"] for event in events if event["kind"] in ("error", "hang")]
    peak = last.get("peak_memory_bytes")
    return RunView(
        run=str(run.path),
        state=state,
        step=step,
        steps=settings.steps,
        loss=last.get("loss"),
        held_out=scores.get("loss"),
        held_out_text=scores.get("loss_dlm_text"),
        unigram=scores.get("unigram_dlm_text"),
        samples_per_second=_median(recent, "samples_per_second"),
        data_wait=median(waits) if waits else None,
        seconds_left=(settings.steps - step) * seconds if seconds is not None and state == "running" else None,
        mfu=_median(recent, "mfu"),
        peak_memory_gb=None if peak is None else peak / 1e9,
        workers=last.get("world_size"),
        restarts=max(0, sum(event["kind"] == "start" for event in events) - 1),
        troubles=int(last.get("troubles", 0)),
        error=errors[-1] if errors and state == "failed" else "",
    )


def _median(lines: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [float(line[key]) for line in lines if line.get(key) is not None]
    return median(values) if values else None


def _state(run: RunFolder, events: Sequence[Mapping[str, Any]]) -> str:
    if _taken(run):
        return "running"
    ends = [event for event in events if event["kind"] in ("launch", "end", "error", "hang")]
    last: Mapping[str, Any] = ends[-1] if ends else {"kind": "launch", "time": 0.0}
    if last["kind"] == "end":
        return "stopped" if last["signal"] else "finished"
    if last["kind"] != "launch":
        return "failed"
    return "starting" if time.time() - last["time"] < STARTING_S else "killed"


def _taken(run: RunFolder) -> bool:
    """Whether a worker holds the run's lock."""
    try:
        with (run.path / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def table(views: Sequence[RunView]) -> str:
    """The runs as aligned columns, one line each, errors below."""
    rows = [HEAD, *(_row(view) for view in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    errors = [f"{view.run}: {view.error}" for view in views if view.error]
    return "\n".join([*(line.rstrip() for line in lines), *errors])


def _row(view: RunView) -> tuple[str, ...]:
    wait = "-" if view.data_wait is None else f"{100 * view.data_wait:.1f} %"
    return (
        _short(view.run),
        view.state,
        f"{view.step}/{view.steps}",
        *(_figure(value, 3) for value in (view.loss, view.held_out, view.held_out_text, view.unigram)),
        _figure(view.samples_per_second, 1),
        wait,
        _time_left(view.seconds_left),
        _figure(view.peak_memory_gb, 2),
        "-" if view.workers is None else str(view.workers),
        str(view.restarts),
        str(view.troubles),
    )


def _short(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _figure(value: float | None, decimals: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d}" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
