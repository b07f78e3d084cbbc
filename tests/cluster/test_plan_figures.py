"""A plan's figures say something for small runs too, and its pages say where they are from."""

import json
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.figures import amount, figure
from cluster.planning.pages import PAPER_PAGES, planned_pages
from cluster.planning.plan import Planner
from cluster.planning.settings import PlanSettings


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.000566, "0.000566"), (1.5, "1.50"), (99.96, "100.0"), (123.4, "123"), (6.4e7, "64,000,000")],
)
def test_a_figure_has_three_digits(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_a_figure_may_have_more_decimals() -> None:
    assert [figure(value, 3) for value in (0, 9.5, 0.0005)] == ["0.000", "9.500", "0.000500"]


def test_an_amount_has_the_prefix_that_suits_it() -> None:
    assert amount(2.8e6, "B") == "2.80 MB"
    assert amount(123_456.0, " tokens") == "123 k tokens"
    assert amount(12.0, "B") == "12.0 B"


def corpus(folder: Path, pages: int) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 1, "totals": {"pages": pages}}))
    return folder


def test_pages_say_where_they_are_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan, default = PlanSettings(), ("corpus",)
    pages, origin = planned_pages(plan, default, False, None)
    assert (pages, "pretrain.corpus is not set" in origin) == (PAPER_PAGES, True)
    here = corpus(tmp_path / "corpus", 40)
    pages, origin = planned_pages(plan, default, False, None)
    assert pages == 40
    assert str(here) in origin
    assert "pretrain.corpus is not set" in origin
    pages, origin = planned_pages(plan, (f"{here}=1", f"{tmp_path / 'gone'}=2"), True, None)
    assert pages == 40
    assert "not counted: " + str(tmp_path / "gone") in origin
    assert planned_pages(plan, default, False, 7.4) == (7, "of --sources, told from a sample of them")
    assert planned_pages(PlanSettings(pages=9), default, False, 7.4)[0] == 9


def test_a_small_runs_plan_is_not_all_zeros(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Planner, "matrix", lambda _: {})  # of all presets, which takes its time
    corpus(tmp_path / "corpus", 40)
    (tmp_path / "run.yaml").write_text(
        "pretrain:\n  preset: tiny\n  steps: 20\n  global_batch_pages: 8\n"
        "  objectives: {max_text_tokens: 96, max_target_tokens: 32}\n"
    )
    assert main(["plan", "--config", "run.yaml"]) == 0
    text = capsys.readouterr().out
    assert f"40 pages: of {tmp_path / 'corpus'}" in text
    assert "the vocabulary of the preset" in text
    for nothing in (" 0.00 h", "$0,", "$0 ", "0.000 TB", "0.00 G", " 0.000 s"):
        assert nothing not in text
