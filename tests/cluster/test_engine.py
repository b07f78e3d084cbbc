"""Ways to save memory that must not change what is learned, and bf16."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError

from cluster.checkpoints.shelf import complete
from cluster.engine import gradients
from cluster.engine.settings import EngineSettings
from cluster.engine.zero import Engine
from cluster.pretraining import pretrain
from cluster.settings import PretrainSettings
from tests.cluster.gang import train_together

Run = Callable[..., PretrainSettings]


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["split"] == "train"}


def agree(run: Path, reference: dict[int, float], tolerance: float) -> None:
    found = losses(run)
    assert set(found) == set(reference)
    for step, loss in reference.items():
        assert math.isclose(found[step], loss, rel_tol=tolerance), (step, found[step], loss)


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture
def reference(tiny_run: Run, module_folder: Path) -> dict[int, float]:
    """Losses of a plain fp32 run, made once."""
    run = module_folder / "reference"
    if not run.exists():
        pretrain(tiny_run(run))
    return losses(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"offload": "cpu", "zero": 1},
        {"offload": "cpu", "zero": 2},
        {"activation_checkpointing": True},
        {"checkpoint_in_background": False},
        {"micro_batch_pages": 6},
        pytest.param({"compile": "always", "zero": 1}, marks=pytest.mark.slow),
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_settings_that_save_memory_or_time_change_no_loss(
    tiny_run: Run, tmp_path: Path, reference: dict[int, float], changes: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    pretrain(tiny_run(run, **changes))
    agree(run, reference, 1e-4)
    assert len(complete(run / "checkpoints")) == 2


def test_offload_at_stage_3_and_a_checkpoint_between(
    tiny_run: Run, tmp_path: Path, reference: dict[int, float]
) -> None:
    first = tiny_run(tmp_path / "run", zero=3, offload="cpu", steps=8, activation_checkpointing=True)
    train_together([first], tmp_path)
    agree(tmp_path / "run", reference, 1e-3)


def test_gradients_in_one_piece_are_those_of_all_ranks(tmp_path: Path) -> None:
    train_together([], tmp_path, before=_add_up)


def _add_up() -> None:
    """Two ranks, a bucket for each parameter; only rank 0 uses the second one, no rank the third in the second step."""
    gradients.BUCKET_BYTES = 1
    rank = dist.get_rank()
    for dtype in (torch.float32, torch.bfloat16):
        _add_up_in_fp32([torch.nn.Parameter(torch.ones(2, 3, dtype=dtype)) for _ in range(3)], rank)


def _add_up_in_fp32(weights: list[torch.nn.Parameter], rank: int) -> None:
    places = list(zip((0, 6, 14), weights, strict=True))
    flat = gradients.FlatGradients(places, 24, dist.group.WORLD, torch.float32)
    used = [[0, 1, 2], [0, 1] if rank == 0 else [0]]
    for step in range(2):
        for micro_batch in range(2):
            flat.begin(last=micro_batch == 1)
            sum((weights[k] * (k + 1) * (rank + 1)).sum() for k in used[step]).backward()
        added = 2 * torch.tensor([3.0, 2 * (3.0 if step == 0 else 1.0), 9.0 if step == 0 else 0.0])
        expected = torch.zeros(24)
        for start, value in zip((0, 6, 14), added, strict=True):
            expected[start : start + 6] = value
        assert torch.equal(flat.take(), expected), (rank, step)
        assert all(weight.grad is None for weight in weights)
    assert [len(part) for part in flat.parts(3, 16)] == [3, 6, 2]


def test_what_is_complete_first_may_differ_among_the_ranks(tmp_path: Path) -> None:
    train_together([], tmp_path, before=_exchange_in_one_order)


def _exchange_in_one_order() -> None:
    """On rank 1 the small tensor's gradients are complete in the backward pass, the large one's never."""
    large, small = torch.nn.Parameter(torch.ones(1000)), torch.nn.Parameter(torch.ones(10))
    linear = torch.nn.Linear(3, 3)
    exchange = gradients.ZeroExchange.__new__(gradients.ZeroExchange)
    exchange._flats = [
        gradients.FlatGradients(places, length, dist.group.WORLD, torch.float32)
        for places, length in (([(0, large), (1000, linear.weight)], 1009), ([(0, small)], 10))
    ]
    for step in range(3):
        exchange.begin(last=True)
        loss = small.sum() * (step + 1)
        if dist.get_rank() == 0:
            loss = loss + large.sum() + linear(torch.ones(3)).sum()
        loss.backward()
        first, second = (flat.take().clone() for flat in exchange._flats)
        assert torch.equal(first, torch.ones(1009))
        assert torch.equal(second, torch.full((10,), 2.0 * (step + 1)))


def test_exchange_in_many_pieces_changes_no_loss(tiny_run: Run, tmp_path: Path, reference: dict[int, float]) -> None:
    train_together([tiny_run(tmp_path / "run", zero=1)], tmp_path, before=_many_pieces)
    agree(tmp_path / "run", reference, 1e-3)


def _many_pieces() -> None:
    gradients.BUCKET_BYTES = 10_000


def test_a_norm_that_is_no_number_is_told_as_infinite_and_no_weight_moves(tmp_path: Path) -> None:
    train_together([], tmp_path, workers=1, before=_meet_infinity)


def _meet_infinity() -> None:
    plain = PretrainSettings.model_fields
    for precision, zero in itertools.product(("fp32", "bf16"), range(4)):
        model = torch.nn.Linear(4, 4).to(torch.bfloat16 if precision == "bf16" else torch.float32)
        constants = {name: plain[name].default for name in ("weight_decay", "beta2", "gradient_clip")}
        engine = Engine(model, EngineSettings(zero, precision, "fp32", "none", False, False, **constants))
        before = [fragment.tensors["weight"].clone() for fragment in engine.fragments()]
        out = engine._engine(torch.ones(2, 4, dtype=next(model.parameters()).dtype))
        engine.backward(out.sum() * math.inf, last=True)
        told: list[float] = []
        engine.update(1.0, lambda norm, told=told: bool(told.append(norm)))  # type: ignore[misc]
        assert told == [math.inf], (precision, zero)
        after = [fragment.tensors["weight"] for fragment in engine.fragments()]
        assert all(map(torch.equal, before, after)), (precision, zero)


def test_the_optimizers_constants_are_the_settings(tmp_path: Path) -> None:
    train_together([], tmp_path, workers=1, before=_look_at_constants)


def _look_at_constants() -> None:
    for precision, zero in itertools.product(("fp32", "bf16"), range(4)):
        model = torch.nn.Linear(4, 4).to(torch.bfloat16 if precision == "bf16" else torch.float32)
        engine = Engine(model, EngineSettings(zero, precision, "fp32", "none", False, False, 0.25, 0.75, 0.5))
        groups = engine._inner.param_groups
        assert {tuple(group["betas"]) for group in groups} == {(0.9, 0.75)}
        assert [group["weight_decay"] for group in groups] == [0.25, 0.0], "matrices alone decay"
        assert engine._engine.gradient_clipping() == (0.5 if engine.stage else 0.0)


def test_what_does_not_go_with_a_stage_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="set zero to 1, 2 or 3"):
        tiny_run(tmp_path / "run", offload="cpu", zero=0)
    with pytest.raises(ValidationError, match="set zero to 2"):
        tiny_run(tmp_path / "run", compile="always", zero=3)


@pytest.mark.parametrize("accumulation", ["fp32", "bf16"])
@pytest.mark.parametrize("zero", [1, 2])
def test_bf16_learns_as_fp32_does_and_resumes_bitwise(
    tiny_run: Run, tmp_path: Path, reference: dict[int, float], accumulation: str, zero: int
) -> None:
    run = tmp_path / "run"
    changes = {"precision": "bf16", "accumulation": accumulation, "zero": zero}
    pretrain(tiny_run(run, **changes))
    agree(run, reference, 0.03)
    before = losses(run)
    (newest, _) = complete(run / "checkpoints")
    Path(newest.address).rename(tmp_path / "taken")
    pretrain(tiny_run(run, **changes), resume=True)
    assert losses(run) == before
