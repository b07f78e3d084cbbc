"""Training by Ray Train: a group of worker processes that is started anew, from the last checkpoint, at each change."""

import logging
import math
import os
import shutil
import time
from typing import Any

from cluster.runs.folder import RunFolder
from cluster.settings import PretrainSettings

# Seconds; Ray Train's own are longer. They travel to its controller by themselves.
PACE = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",
}


def fit(settings: PretrainSettings) -> None:
    """Run the workers of `settings` to the end of the run; raises what Ray Train raises when its budgets are spent."""
    for name, value in PACE.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from cluster.workers.ray_failures import Budgets
    from cluster.workers.ray_scaling import MachineScaling
    from cluster.workers.ray_worker import TakeNotice, run_worker
    from pipelines.stream import start_ray

    start_ray()
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    gpus = _trains_on_gpus(settings, int(ray.cluster_resources().get("GPU", 0)))
    scaling = ScalingConfig(
        num_workers=(settings.min_workers, settings.max_workers),
        elastic_resize_monitor_interval_s=settings.resize_every_s,
        use_gpu=gpus,
        resources_per_worker=_resources(settings, ray.cluster_resources().get("CPU", 1), gpus),
    )

    class Trainer(TorchTrainer):  # type: ignore[misc]
        """Ray Train's trainer with this run's own policies."""

        def _initialize_and_run_controller(self, **controller: Any) -> Any:
            own = {
                "scaling_policy": MachineScaling(scaling, settings.out, settings.notice_s),
                "failure_policy": Budgets(settings.out, settings.max_losses, settings.max_errors),
            }
            return super()._initialize_and_run_controller(**{**controller, **own})

    environment = {"THP_MEM_ALLOC_ENABLE": os.environ["THP_MEM_ALLOC_ENABLE"]}
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray shows all GPUs to workers that booked none
    scratch = RunFolder(settings.out).scratch
    trainer = Trainer(
        run_worker,
        train_loop_config={"settings": settings.model_dump_json()},
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=scaling,
        run_config=RunConfig(
            name=f"start-{time.time_ns()}",
            storage_path=str(scratch),
            callbacks=[TakeNotice()],
            worker_runtime_env={"env_vars": environment},
        ),
    )
    try:
        trainer.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _trains_on_gpus(settings: PretrainSettings, found: int) -> bool:
    """Whether there are GPUs for the fewest workers that are allowed."""
    if 0 < found < settings.min_workers:
        RunFolder(settings.out).note(
            "hint",
            f"{found} GPUs are fewer than {settings.min_workers} workers: training on CPU; use --workers {found}",
        )
    return found >= settings.min_workers


def _resources(settings: PretrainSettings, cpus: float, gpus: bool) -> dict[str, float]:
    """What each worker books: a GPU and a CPU, or on CPU its share of all there are now."""
    if gpus:
        return {"GPU": 1, "CPU": settings.cpus_per_worker or 1}
    if settings.cpus_per_worker:
        return {"CPU": settings.cpus_per_worker}
    share = cpus / settings.max_workers
    if settings.min_workers == settings.max_workers > cpus:
        text = f"{settings.workers} workers share {cpus:g} CPUs: slower than --workers {max(1, int(cpus))}"
        RunFolder(settings.out).note("hint", text)
    if settings.min_workers < settings.max_workers:
        share = max(1.0, share)  # machines that come later shall find workers left to take
    # Ray counts in ten thousandths.
    return {"CPU": float(int(share)) if share >= 1 else math.floor(share * 10_000) / 10_000}
