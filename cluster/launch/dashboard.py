"""A Grafana dashboard of the exported metrics: import it, and choose the Prometheus that scrapes the cluster."""

import json
from dataclasses import dataclass
from typing import Any

from pipelines.meters import FINISHED, TRAINING

WIDTH, HEIGHT, ACROSS = 8, 8, 3


@dataclass(frozen=True)
class Panel:
    """A plot: its title, Grafana's unit, and queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _of(name: str) -> str:
    return f'{TRAINING[name].exported}{{run=~"$run"}}'


def _curves(title: str, unit: str, *names: str) -> Panel:
    return Panel(title, unit, tuple((_of(name), f"{{{{run}}}} {name}") for name in names))


PANELS = (
    _curves("Loss", "short", "train/loss", "eval/loss"),
    _curves("Loss by objective", "short", "train/loss_dlm", "train/loss_line", "train/loss_grid"),
    _curves("Held-out accuracy", "percentunit", "eval/acc_line", "eval/acc_grid"),
    _curves("Training, pages a second", "short", "train/samples_per_second"),
    _curves("Training, tokens a second", "short", "train/tokens_per_second"),
    _curves("MFU", "percentunit", "train/mfu"),
    _curves("Seconds of a step", "s", "train/step_seconds", "train/data_wait"),
    _curves("Workers", "short", "train/world_size", "train/restarts"),
    _curves("Gradient norm", "short", "train/grad_norm"),
    _curves("Steps", "short", "train/step"),
    _curves("Learning rate", "short", "train/learning_rate"),
    Panel(
        "Stages, units a second",
        "short",
        (
            (
                f'sum by (run, stage, unit) (rate({FINISHED.exported}{{run=~"$run"}}[2m]))',
                "{{run}} {{stage}} {{unit}}",
            ),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as JSON text."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, Any]] = [
        {
            "id": place + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"h": HEIGHT, "w": WIDTH, "x": WIDTH * (place % ACROSS), "y": HEIGHT * (place // ACROSS)},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + number), "datasource": source, "expr": query, "legendFormat": legend}
                for number, (query, legend) in enumerate(panel.queries)
            ],
        }
        for place, panel in enumerate(PANELS)
    ]
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "run",
            "type": "query",
            "label": "run",
            "datasource": source,
            "query": {"query": "label_values({__name__=~'ray_docformer_.*'}, run)", "refId": "runs"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
        },
    ]
    board = {
        "title": "docformer",
        "uid": "docformer",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }
    return json.dumps(board, indent=1) + "\n"
