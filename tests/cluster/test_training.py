"""Real DeepSpeed on real pages: the same losses at any ZeRO stage and number of workers, and through any resume."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.checkpoints.checkpoint import newest_good
from cluster.pretraining import pretrain
from cluster.settings import PretrainSettings
from tests.cluster.conftest import TINY
from tests.cluster.gang import train_together

Run = Callable[..., PretrainSettings]
VOLATILE = (
    *("time", "restarts", "step_seconds", "data_wait", "tokens_per_second", "samples_per_second"),
    "peak_memory_bytes",
)


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def lasting(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in VOLATILE} for line in metrics(run)]


def agree(left: Path, right: Path, tolerance: float) -> None:
    pairs = list(zip(metrics(left), metrics(right), strict=True))
    assert pairs[-1][0]["step"] >= 8
    for a, b in pairs:
        assert (a["split"], a["step"], a.get("batch_digest")) == (b["split"], b["step"], b.get("batch_digest"))
        # Adam and the clip hide a gradient of another scale from the losses.
        for key in ("loss", "loss_dlm", "loss_line", "loss_grid", *(["grad_norm"] if a["split"] == "train" else [])):
            assert math.isclose(a[key], b[key], rel_tol=tolerance), (key, a, b)


def forget_newest(run: Path, copy: Path) -> None:
    """Copy a complete run and take it back to its last checkpoint but one, as a kill would have left it."""
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / "step-00000008")
    (copy / "latest").write_text("step-00000004\n")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def plain_runs(tiny_run: Run, undisturbed: Path) -> Path:
    """Runs of one worker at each ZeRO stage, made once, in folders 0 to 3.

    Stage 3 runs in a process of its own: DeepSpeed then replaces torch's linear function for as long as the process
    lives, by one that rounds differently.
    """
    if not (undisturbed / "3").exists():
        for zero in range(3):
            pretrain(tiny_run(undisturbed / str(zero), zero=zero))
        train_together([tiny_run(undisturbed / "3", zero=3)], undisturbed, workers=1)
    return undisturbed


def test_a_run_leaves_what_the_contract_says(plain_runs: Path) -> None:
    run = plain_runs / "1"
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "checkpoints", "latest", "model"} <= names
    assert (run / "latest").read_text().strip() == "step-00000008"
    first = metrics(run)[1]
    for key in (
        *("step", "epoch", "samples", "tokens", "loss", "loss_dlm", "loss_line", "loss_grid", "acc_line", "acc_grid"),
        *("learning_rate", "grad_norm", "tokens_per_second", "samples_per_second", "mfu", "data_wait"),
        *("step_seconds", "world_size", "restarts", "time", "batch_digest"),
    ):
        assert key in first, key
    evaluations = [line for line in metrics(run) if line["split"] == "eval"]
    assert [line["step"] for line in evaluations] == [0, 4, 8]
    assert evaluations[-1]["loss"] < evaluations[0]["loss"]
    for task in ("line", "grid"):
        for part in ("visible", "hidden"):
            assert 0 <= evaluations[-1][f"acc_{task}_{part}"] <= 1
            assert 0 < evaluations[-1][f"majority_{task}_{part}"] <= 1
    assert 0 < evaluations[-1]["unigram_dlm_text"] < math.log(500)


def test_the_exported_model_scores_as_the_run_did(plain_runs: Path, tiny_run: Run) -> None:
    import torch

    from cluster.training.assemble import assemble
    from cluster.training.evaluation import spread
    from model.batch import collate
    from model.docformer import DocFormerV2ForConditionalGeneration

    run = plain_runs / "3"
    parts = assemble(tiny_run(run))
    model = DocFormerV2ForConditionalGeneration.from_pretrained(run / "model").eval()
    rows = parts.store.held_out(spread(parts.store.index.held_out_pages, tiny_run(run).eval_pages))
    samples = [parts.builder.build(row, 0, 0) for row in rows]
    with torch.no_grad():
        loss = float(model(**collate(samples)).loss)
    assert math.isclose(loss, metrics(run)[-1]["loss"], rel_tol=1e-4)


def test_losses_agree_at_any_stage_and_number_of_workers(plain_runs: Path, tiny_run: Run, tmp_path: Path) -> None:
    forget_newest(plain_runs / "1", tmp_path / "1 to 3")
    shutil.copy(plain_runs / "3" / "facts.json", tmp_path / "1 to 3")
    runs = [tiny_run(tmp_path / str(zero), zero=zero) for zero in range(4)]
    train_together([*runs, tiny_run(tmp_path / "1 to 3", zero=3)], tmp_path)
    agree(plain_runs / "0", tmp_path / "1 to 3", 1e-3)
    for zero in range(4):
        agree(plain_runs / "0", plain_runs / str(zero), 1e-3)
        agree(plain_runs / "0", tmp_path / str(zero), 1e-3)
        checkpoint, complaints = newest_good(tmp_path / str(zero) / "checkpoints")
        assert checkpoint is not None
        assert not complaints
    # Uneven shares of the six pages, one micro-batch left empty.
    train_together([tiny_run(tmp_path / "four", micro_batch_pages=1)], tmp_path, workers=4)
    agree(plain_runs / "0", tmp_path / "four", 1e-3)

    forget_newest(tmp_path / "3", tmp_path / "3 to 1")
    shutil.copy(plain_runs / "1" / "facts.json", tmp_path / "3 to 1")
    pretrain(tiny_run(tmp_path / "3 to 1", zero=1), resume=True)
    agree(plain_runs / "0", tmp_path / "3 to 1", 1e-3)

    forget_newest(tmp_path / "2", tmp_path / "same")
    train_together([tiny_run(tmp_path / "same", zero=2)], tmp_path)
    assert lasting(tmp_path / "same") == lasting(tmp_path / "2"), "bitwise equal at the same number of workers"


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_resume_is_bitwise_equal(plain_runs: Path, tiny_run: Run, tmp_path: Path, zero: int) -> None:
    forget_newest(plain_runs / str(zero), tmp_path / "run")
    settings = tiny_run(tmp_path / "run", zero=zero)
    if zero == 3:
        train_together([settings], tmp_path, workers=1)
    else:
        assert pretrain(settings, resume=True).restarts == 1
    assert lasting(tmp_path / "run") == lasting(plain_runs / str(zero))
    assert metrics(tmp_path / "run")[-1]["restarts"] == 1
    resumed, straight = (newest_good(run / "checkpoints")[0] for run in (tmp_path / "run", plain_runs / str(zero)))
    assert resumed is not None
    assert straight is not None
    assert resumed.index == straight.index, "weights, moments and every counter"


def test_dropout_does_not_depend_on_the_steps_before(tiny_run: Run, tmp_path: Path) -> None:
    dropping = {**TINY, "dropout_rate": 0.1}
    pretrain(tiny_run(tmp_path / "whole", model=dropping))
    forget_newest(tmp_path / "whole", tmp_path / "run")
    pretrain(tiny_run(tmp_path / "run", model=dropping), resume=True)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_flipped_byte_is_named_and_an_older_checkpoint_used(plain_runs: Path, tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(plain_runs / "1", tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "step-00000008" / "rank-00000.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    pretrain(tiny_run(tmp_path / "run"), resume=True)
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "step-00000008/rank-00000.safetensors is damaged" in events
    assert "goes on after step 4" in events
    assert lasting(tmp_path / "run") == lasting(plain_runs / "1")


def test_an_error_of_the_program_is_not_retried(tiny_run: Run, tmp_path: Path) -> None:
    from pipelines.errors import JobError

    with pytest.raises(JobError, match="lower learning_rate"):
        pretrain(tiny_run(tmp_path / "run", learning_rate=1e30, gradient_clip=1e30, warmup_steps=0))


def test_feeding_by_processes_gives_the_same_batches(plain_runs: Path, tiny_run: Run, tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path / "run", feed_processes=1))
    assert lasting(tmp_path / "run") == lasting(plain_runs / "1")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_steps_agree_resume_bitwise_and_move_between_stages(tiny_run: Run, tmp_path: Path) -> None:
    def run(name: str, zero: int) -> PretrainSettings:
        changes = {"steps": 50, "eval_every": 25, "checkpoint_every": 10, "keep_checkpoints": 9}
        return tiny_run(tmp_path / name, zero=zero, **changes)

    def taken_back(name: str, copy: str, step: int) -> None:
        """Copy a run as a kill after its checkpoint of `step` would have left it."""
        shutil.copytree(tmp_path / name, tmp_path / copy)
        for later in (tmp_path / copy / "checkpoints").iterdir():
            if int(later.name.removeprefix("step-")) > step:
                shutil.rmtree(later)

    train_together([run(f"one {zero}", zero) for zero in range(4)], tmp_path, workers=1)
    train_together([run(f"two {zero}", zero) for zero in range(4)], tmp_path, workers=2)
    for zero in range(4):
        agree(tmp_path / "one 0", tmp_path / f"one {zero}", 1e-3)
        agree(tmp_path / "one 0", tmp_path / f"two {zero}", 1e-3)
        taken_back(f"two {zero}", f"again {zero}", 30)
    train_together([run(f"again {zero}", zero) for zero in range(4)], tmp_path, workers=2)
    for zero in range(4):
        assert lasting(tmp_path / f"again {zero}") == lasting(tmp_path / f"two {zero}"), "bitwise"

    taken_back("two 3", "there", 20)
    train_together([run("there", 1)], tmp_path, workers=1)
    taken_back("there", "and back", 40)
    train_together([run("and back", 3)], tmp_path, workers=2)
    assert {line["world_size"] for line in metrics(tmp_path / "and back")} == {1, 2}
    agree(tmp_path / "one 0", tmp_path / "and back", 1e-3)
