"""The step on the largest shape: what fits is found without going far beyond the limit, what does not is explained."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.pretraining import pretrain
from cluster.settings import PretrainSettings
from cluster.training.largest_step import Trial, largest_that_fits
from cluster.training.memory import GB
from pipelines.errors import UsageError
from tests.cluster.test_pretrain_command import lasting, metrics, write_config

Run = Callable[..., PretrainSettings]


class Machine:
    """Memory that grows linearly with the pages; an attempt beyond `fails_at` fails as an allocation does."""

    def __init__(self, base: int, a_page: int, fails_at: float = float("inf")) -> None:
        self.base, self.a_page, self.fails_at = base, a_page, fails_at
        self.tried: list[int] = []

    def __call__(self, pages: int) -> Trial | None:
        self.tried.append(pages)
        peak = self.base + self.a_page * pages
        return Trial(pages, peak, 0, 0.1) if peak <= self.fails_at else None


@pytest.mark.parametrize(
    ("base", "a_page", "limit", "ceiling", "fits"),
    [
        (100, 10, 1000, 64, 64),
        (100, 10, 500, 64, 40),
        (100, 10, 120, 64, 2),
        (100, 10, 115, 64, 1),
        (100, 10, 500, 1, 1),
        (0, 1, 10**6, 7, 7),
    ],
)
def test_the_largest_that_fits(base: int, a_page: int, limit: int, ceiling: int, fits: int) -> None:
    machine = Machine(base, a_page)
    found = largest_that_fits(machine, limit, ceiling)
    assert found is not None
    assert found.pages == fits
    assert max(machine.tried) <= max(2, fits), "no attempt beyond what the smaller ones promised"
    assert len(machine.tried) < 8


def test_nothing_fits() -> None:
    assert largest_that_fits(Machine(100, 10), 105, 8) is None
    assert largest_that_fits(Machine(100, 10, fails_at=50), 1000, 8) is None


def test_an_attempt_that_fails_is_gone_around() -> None:
    """A device whose real limit is lower than the one that it states."""
    found = largest_that_fits(Machine(0, 10, fails_at=95), 1000, 64)
    assert found is not None
    assert found.pages == 9


def test_a_dry_run_prints_memory_and_leaves_nothing(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run.yaml", tiny_run(tmp_path / "run"))
    assert main(["pretrain", "--config", str(config), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["micro_batch_pages"] == 2
    assert 0.1 < found["peak_memory_gb"] < found["memory_limit_gb"]
    assert found["seconds"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]

    assert main(["pretrain", "--config", str(config), "--dry-run", "--memory-limit-gb", "0.05"]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert "needs more than the 0.1 GB" in line or "needs more than the 0.05 GB" in line
    assert "activation_checkpointing: true" in line
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_auto_takes_what_fits_and_the_losses_stay(tiny_run: Run, tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path / "set", steps=3, micro_batch_pages=1))
    pretrain(tiny_run(tmp_path / "auto", steps=3, micro_batch_pages="auto"))
    (event,) = (
        event
        for event in map(json.loads, (tmp_path / "auto" / "events.jsonl").read_text().splitlines())
        if event["kind"] == "largest"
    )
    assert event["pages"] == 6
    for a, b in zip(metrics(tmp_path / "set"), metrics(tmp_path / "auto"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a.get("batch_digest") == b.get("batch_digest")

    # The trial leaves no trace in what is learned.
    pretrain(tiny_run(tmp_path / "six", steps=3, micro_batch_pages=6))
    assert lasting(tmp_path / "six") == lasting(tmp_path / "auto")

    # Another size is no other run; a limit makes auto smaller.
    tight = event["peak"] / GB
    with pytest.raises(UsageError, match="memory that a worker has"):
        pretrain(tiny_run(tmp_path / "auto", steps=4, micro_batch_pages="auto", memory_limit_gb=tight / 4), resume=True)
    assert pretrain(tiny_run(tmp_path / "auto", steps=4, micro_batch_pages=3), resume=True).steps == 4
