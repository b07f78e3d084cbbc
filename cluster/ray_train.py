"""Training by Ray Train: one worker process for each of `workers`, restarted together from the last checkpoint."""

import logging
import os
import shutil
import time
from typing import Any

from cluster.run_folder import RunFolder
from cluster.settings import PretrainSettings


def fit(settings: PretrainSettings) -> None:
    """Run all workers of `settings` to the end of the run; raises what Ray Train raises when restarts are used up."""
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2", "1")
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    found = int(ray.cluster_resources().get("GPU", 0))
    gpus = found >= settings.workers
    if found and not gpus:
        RunFolder(settings.out).note(
            "hint", f"{found} GPUs are fewer than {settings.workers} workers: training on CPU; use --workers {found}"
        )
    scratch = RunFolder(settings.out).path / ".ray"
    trainer = TorchTrainer(
        _work,
        train_loop_config={"settings": settings.model_dump_json()},
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=gpus,
            resources_per_worker=_resources(settings.workers, ray.cluster_resources().get("CPU", 1), gpus),
        ),
        run_config=RunConfig(
            name=f"start-{time.time_ns()}",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=settings.max_restarts),
            # Ray shows all GPUs to workers that booked none.
            worker_runtime_env={} if gpus else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}},
        ),
    )
    trainer.fit()
    shutil.rmtree(scratch, ignore_errors=True)


def _resources(workers: int, cpus: float, gpus: bool) -> dict[str, float]:
    """What each worker books: a GPU and a CPU, or on CPU its share of all there are now."""
    if gpus:
        return {"GPU": 1, "CPU": 1}
    share = cpus / workers
    return {"CPU": float(int(share)) if share >= 1 else share}


def _work(config: dict[str, Any]) -> None:
    import ray
    import torch

    from cluster.worker import work

    settings = PretrainSettings.model_validate_json(config["settings"])
    booked = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, int(booked)))
    work(settings)
