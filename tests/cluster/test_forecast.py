"""Forecasts of a corpus from a sample: kinds of pages, costs of jobs, and a real sample against a real build."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import main
from cluster.planning.forecast import CorpusForecast, PageCost, evenly, job_seconds, needs_ocr, pages_by_kind
from pipelines.settings import CorpusSettings


def document(name: str, pages: int, size: int = 1000) -> dict[str, Any]:
    return {"doc_id": name * 64, "pages": pages, "size": size, "reason": "", "uri": name}


DOCUMENTS = [document("a", 10), document("b", 30), document("c", 4, size=10_000_000)]
KINDS = {"a" * 64: "text", "b" * 64: "text", "c" * 64: "ocr"}


def cost(pages: float, seconds: float) -> PageCost:
    return PageCost(pages, 4, seconds, seconds, 1.0, 1000.0)


def test_even_samples() -> None:
    assert evenly(range(10), 20) == list(range(10))
    assert evenly(range(100), 4) == [12, 37, 62, 87]
    assert not evenly(range(10), 0)


def test_every_page_has_one_kind() -> None:
    found = pages_by_kind(DOCUMENTS, KINDS, CorpusSettings(agreement_share=0.3))
    assert {kind: len(pages) for kind, pages in found.items() if kind == "ocr"} == {"ocr": 4}
    assert len(found["text"]) + len(found["compared"]) == 40
    assert 4 < len(found["compared"]) < 20
    plain = pages_by_kind(DOCUMENTS, {}, CorpusSettings(ocr="text-layer"))
    assert {kind: len(pages) for kind, pages in plain.items()} == {"text": 44, "compared": 0, "ocr": 0}


@pytest.mark.parametrize(
    ("ocr", "trusted", "needed"),
    [("auto", True, False), ("auto", False, True), ("text-layer", False, False), ("tesseract", True, True)],
)
def test_what_ocr_must_read(ocr: str, trusted: bool, needed: bool) -> None:
    assert needs_ocr(CorpusSettings.model_validate({"ocr": ocr}), trusted) is needed


def test_jobs_cost_what_their_pages_do() -> None:
    costs = {"text": cost(40, 0.1), "compared": cost(0, 0.0), "ocr": cost(4, 5.0)}
    once = job_seconds(DOCUMENTS, KINDS, costs, 256, 1.0)  # type: ignore[arg-type]
    assert sum(once) == pytest.approx(40 * 0.1 + 4 * 5.0)
    # Sources of which a part was looked at have as many more jobs.
    more = job_seconds(DOCUMENTS, KINDS, costs, 256, 3.5)  # type: ignore[arg-type]
    assert len(more) == 3 * len(once) + round(len(once) / 2)


def test_a_forecast_replaces_what_a_plan_assumes() -> None:
    costs = {"text": cost(900, 0.05), "compared": cost(0, 0.0), "ocr": cost(100, 2.0)}
    told = CorpusForecast(10, 10, costs, 0.01, 1.0, 5.0, 2, 100.0, 1e6, 9.0)  # type: ignore[arg-type]
    values = told.as_settings()
    assert values["ocr_share"] == pytest.approx(0.1)
    assert values["text_pages_per_core_second"] == pytest.approx(20)
    assert values["ocr_seconds_per_page"] == 2.0
    assert values["bytes_per_page"] == pytest.approx(1e6 / 1000)


@pytest.mark.usefixtures("ray_session")
def test_a_sample_of_real_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.synthetic import generate

    generate(tmp_path / "documents", documents=24, seed=5, scans=0.0, hostile=2)
    config = tmp_path / "run.yaml"
    config.write_text(
        "corpus: {ocr: text-layer, image_long_side: 128}\n"
        "pretrain: {preset: tiny, objectives: {max_text_tokens: 32, max_target_tokens: 16, line_pairs: 4}}\n"
    )
    assert main(["plan", "--config", str(config), "--sources", str(tmp_path / "documents"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["corpus_here"]
    words = ["corpus", "build", str(tmp_path / "documents"), "--out", str(tmp_path / "c"), "--config", str(config)]
    assert main([*words, "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert told["pages"] == built["pages"] + built["quarantined_pages"]
    assert told["costs"]["text"]["read"] >= 6
    assert told["costs"]["ocr"]["pages"] == 0
    size = sum(file.stat().st_size for file in (tmp_path / "c").rglob("*.parquet"))
    assert 0.4 < told["corpus_bytes"] / size < 1.6
    assert told["seconds"] > told["start_s"]
