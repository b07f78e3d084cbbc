"""Figures for Prometheus through Ray's exporter: each has its line here, and nothing else is exported.

Ray puts `ray_` before a name and `_total` behind a counter's. Without a running Ray nothing is recorded.
"""

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal


@dataclass(frozen=True)
class Meter:
    """A figure: its name, whether it only ever grows, what it says, and the labels it carries besides `run`."""

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name as Prometheus sees it."""
        return f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}"


FINISHED = Meter("docformer_finished", "counter", "finished units of work: documents, pages, steps", ("stage", "unit"))
TRAINING = {
    key: Meter(f"docformer_{key.replace('/', '_')}", "gauge", text)
    for key, text in {
        "train/step": "optimizer steps done",
        "train/loss": "loss of the newest logged step",
        "train/loss_dlm": "its denoising part",
        "train/loss_line": "its token-to-line part",
        "train/loss_grid": "its token-to-grid part",
        "train/learning_rate": "learning rate",
        "train/grad_norm": "norm of the gradient before clipping",
        "train/samples_per_second": "pages a second, over all workers",
        "train/tokens_per_second": "tokens a second, over all workers",
        "train/mfu": "share of the GPUs' peak arithmetic that is used",
        "train/step_seconds": "seconds of a step",
        "train/data_wait": "seconds of a step spent waiting for data",
        "train/world_size": "workers that train",
        "train/restarts": "starts after the first one",
        "eval/loss": "held-out loss",
        "eval/acc_line": "held-out token-to-line accuracy",
        "eval/acc_grid": "held-out token-to-grid accuracy",
    }.items()
}
METERS = (FINISHED, *TRAINING.values())


def add(meter: Meter, amount: float, run: str, **labels: str) -> None:
    """Let counter `meter` grow by `amount`."""
    if amount > 0 and _ray_is_up():
        _made(meter).inc(amount, {"run": _ascii(run), **labels})


def put(meter: Meter, value: float, run: str, **labels: str) -> None:
    """Set gauge `meter`."""
    if _ray_is_up():
        _made(meter).set(value, {"run": _ascii(run), **labels})


def _ascii(name: str) -> str:
    """Ray's metrics take labels of no other letters."""
    return name.encode("ascii", "backslashreplace").decode()


def _ray_is_up() -> bool:
    ray = sys.modules.get("ray")  # a process that has not imported it has not started it
    return ray is not None and ray.is_initialized()


@cache
def _made(meter: Meter) -> Any:
    from ray.util.metrics import Counter, Gauge

    kind = Counter if meter.kind == "counter" else Gauge
    return kind(meter.name, description=meter.text, tag_keys=("run", *meter.labels))
