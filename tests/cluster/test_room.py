"""Workers that this machine has no room for are refused before anything starts; on a cluster they may come."""

from pathlib import Path

import pytest
import ray
import torch

from cluster.settings import PretrainSettings
from cluster.workers.ray_train import _resources
from cluster.workers.room import refuse, refuse_without_room
from pipelines.errors import UsageError
from tests.cluster.test_cli import fails


def asks(workers: int | str, cpus: float | None = None, out: Path = Path("run")) -> PretrainSettings:
    return PretrainSettings(corpus=("c",), tokenizer="t", out=str(out), workers=workers, cpus_per_worker=cpus)


@pytest.mark.parametrize(
    ("workers", "a_worker", "cpus", "gpus", "says"),
    [
        (99, None, 2, 0, "workers = 99: this machine has 2 CPUs, which is room for 8 .* give --workers 2"),
        (300, None, 64, 8, "64 CPUs and 8 GPUs.*give --workers 8"),
        (3, 1.0, 2, 0, "room for 2 .1 CPUs a worker.; give --workers 2"),
        (1, 4.0, 2, 0, "lower cpus_per_worker to 2"),
        ("4:8", None, 2, 0, "workers = 4:8.*give --workers 2"),
    ],
)
def test_what_has_no_room_is_refused(workers: int | str, a_worker: float, cpus: int, gpus: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        refuse(asks(workers, a_worker), cpus, gpus)


@pytest.mark.parametrize("workers", [1, 4, 8, "1:99"])
def test_workers_may_share_a_cpu(workers: int | str) -> None:
    refuse(asks(workers), 2, 0)


def test_one_process_is_not_several_workers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"workers = 4: without Ray one process trains.*give --workers 1"):
        refuse_without_room(asks(4, out=tmp_path).model_copy(update={"ray": False}))
    refuse_without_room(asks("1:4", out=tmp_path).model_copy(update={"ray": False}))


def test_sharing_a_cpu_is_remarked_on(tmp_path: Path) -> None:
    from cluster.runs.folder import RunFolder

    assert _resources(asks(4, out=tmp_path), 2.0, gpus=False) == {"CPU": 0.5}
    assert "4 workers share 2 CPUs" in RunFolder(tmp_path).noted("hint")[0]["text"]
    _resources(asks(2, out=tmp_path), 2.0, gpus=False)
    assert len(RunFolder(tmp_path).noted("hint")) == 1


def test_only_where_ray_is_started_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("ray._private.utils.get_num_cpus", lambda **_: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    words = ("pretrain", "--corpus", tmp_path / "c", "--tokenizer", tmp_path, "--out", tmp_path / "r", "--workers", 99)
    assert "give --workers 2" in fails(capsys, *words)
    assert not (tmp_path / "r").exists()
    monkeypatch.setenv("RAY_ADDRESS", "ray.example:6379")
    assert "workers" not in fails(capsys, *words)  # the corpus is not there either
