"""`docformer run`: stages are made once, made again where their inputs changed, and survive a kill in any of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import main
from cluster.workflow.run import NAMES, run_workflow
from cluster.workflow.stages import CorpusStage
from pipelines.corpus.diff import diff
from pipelines.corpus.reader import Corpus
from pipelines.corpus.shards import file_sha256
from pipelines.errors import StoppedError, UsageError
from pipelines.synthetic import generate
from tests.cluster.conftest import OBJECTIVES, TINY


def write_config(folder: Path, **pretrain: Any) -> Path:
    """A configuration whose stages take seconds, on generated documents."""
    if not (folder / "documents").is_dir():
        generate(folder / "documents", documents=12, seed=3, scans=0.0, hostile=0)
    sections = {
        "run": {"out": str(folder / "out")},
        "corpus": {"sources": [str(folder / "documents")], "ocr": "text-layer", "image_long_side": 128},
        "tokenizer": {"vocab_size": 300},
        "pretrain": {
            "preset": "tiny",
            "model": TINY,
            "objectives": OBJECTIVES,
            "steps": 4,
            "global_batch_pages": 4,
            "micro_batch_pages": 2,
            "warmup_steps": 1,
            "held_out": 0.2,
            "eval_pages": 4,
            "checkpoint_every": 2,
            "ray": False,
            **pretrain,
        },
    }
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(sections))
    return file


def artefacts(out: Path) -> dict[str, str]:
    """Digest of everything that must not depend on how often the workflow was started."""
    names = ("tokenizer/tokenizer.json", "run/model/model.safetensors", "model/model.safetensors", "model/config.json")
    scores = json.loads((out / "scores" / "scores.json").read_text())
    digests = {name: file_sha256(out / name) for name in names}
    return {**digests, "corpus": Corpus.open(out / "corpus").digest, "scores": json.dumps(scores, sort_keys=True)}


@pytest.mark.usefixtures("ray_session")
def test_complete_and_unchanged_stages_are_skipped(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "out"
    first = run_workflow(config)
    assert list(first) == list(NAMES)
    assert "skipped" not in first.values()
    before = artefacts(out)
    assert set(run_workflow(config).values()) == {"skipped"}

    (out / ".model.x1").mkdir()  # an export that was killed
    (out / "model" / "config.json").write_text("{}")  # an output that was touched is made again, and only that
    assert [name for name, what in run_workflow(config).items() if what != "skipped"] == ["export"]
    assert not (out / ".model.x1").exists()
    assert artefacts(out) == before

    write_config(tmp_path, steps=6)  # a longer run goes on
    longer = run_workflow(config)
    assert [name for name, what in longer.items() if what != "skipped"] == ["pretrain", "evaluate", "export"]
    assert longer["pretrain"].startswith("6 steps")

    generate(tmp_path / "documents" / "more", documents=2, seed=9, scans=0.0, hostile=0)
    with pytest.raises(
        UsageError, match=r"started otherwise.*add --from pretrain"
    ):  # new documents make another corpus, and another run
        run_workflow(config)
    assert "12 documents" in first["corpus"]
    assert Corpus.open(out / "corpus").manifest["totals"]["documents"]["found"] == 14

    again = run_workflow(config, start="pretrain")
    assert again["corpus"] == again["tokenizer"] == "skipped"
    assert (out / "run.1" / "model").is_dir()


def test_bad_configurations_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    config = tmp_path / "run.yaml"
    for text, message in (
        ("run: {where: x}", "unknown key 'where'"),
        ("pretrain: {corpus: x}", "corpus is set by `docformer run`"),
        ("corpus: {}", "corpus.sources is empty"),
        ("tokenizer: {vocab_size: many}\ncorpus: {sources: [/nowhere]}", "vocab_size = 'many'"),
        ("tokenizer: {vocab_sise: 9}\ncorpus: {sources: [/nowhere]}", "did you mean 'vocab_size'"),
        ("pretrain: {stesp: 9}\ncorpus: {sources: [/nowhere]}", "did you mean 'steps'"),
        ("pretrain: {model: {num_layer: 7}}\ncorpus: {sources: [/nowhere]}", "did you mean 'num_layers'"),
        ("pretrain: {checkpoint_store: 'ftp://x/y'}\ncorpus: {sources: [/nowhere]}", "ftp://x/y: no folder"),
        ("pretrain: {mlflow_experiment: x}\ncorpus: {sources: [/nowhere]}", "pip install mlflow"),
        ("pretrain: {tokenizer: /nowhere/else}\ncorpus: {sources: [/nowhere]}", "/nowhere/else: no T5 tokenizer"),
        ("corpus: {sources: [/nowhere]}", "/nowhere"),
    ):
        config.write_text(text)
        assert main(["run", "--config", str(config)]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert len(lines) == 1
        assert message in lines[0]
    assert main(["run", "--config", str(config), "--from", "nowhere"]) == 2
    assert "corpus, tokenizer, pretrain, evaluate, export" in capsys.readouterr().err
    assert main(["run"]) == 2


@pytest.mark.slow
def test_a_kill_in_each_stage_changes_nothing(tmp_path: Path) -> None:
    """The first start is killed as the first stage begins, the next one as the second begins, and so on."""
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    config = write_config(tmp_path / "killed")
    command = [sys.executable, "-m", "cluster.cli", "run", "--config", str(config)]
    for number, stage in enumerate(NAMES, 1):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"[{number}/5] {stage} ..."):
                time.sleep(1.5)
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert subprocess.run(command, env=environment, timeout=280).returncode == 0
    whole = write_config(tmp_path / "whole")
    assert subprocess.run([*command[:-1], str(whole)], env=environment, timeout=280).returncode == 0
    assert artefacts(tmp_path / "killed" / "out") == artefacts(tmp_path / "whole" / "out")
    assert not diff(tmp_path / "killed" / "out" / "corpus", tmp_path / "whole" / "out" / "corpus")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StoppedError("SIGINT")])
def test_a_stopped_workflow_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: BaseException
) -> None:
    def make(_: CorpusStage, anew: bool) -> str:
        raise stop

    monkeypatch.setattr(CorpusStage, "make", make)
    config = write_config(tmp_path)
    assert main(["run", "--config", str(config)]) == 130
    assert f"go on with: docformer run --config {config}" in capsys.readouterr().err
