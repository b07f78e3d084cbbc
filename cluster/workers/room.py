"""Whether this machine has room for the workers of a run, where Ray is started on it alone.

A cluster that the environment names is not looked at: its machines come and go, and a run waits for them.
"""

import os

from cluster.settings import PretrainSettings
from pipelines.errors import UsageError

# Workers that share a CPU are slow, not wrong: as many as this are of use to try a large run on a small machine.
MOST_WORKERS_A_CPU = 4


def refuse_without_room(settings: PretrainSettings) -> None:
    """Raise UsageError when the fewest workers of a run have no room here, and no other machine can give it."""
    import ray

    if not settings.ray and settings.min_workers > 1:
        raise UsageError(
            f"workers = {settings.workers}: without Ray one process trains, this one; give --workers 1, or leave "
            "--no-ray (ray: false) out"
        )
    if settings.ray and not ray.is_initialized() and os.environ.get("RAY_ADDRESS", "local") == "local":
        import torch
        from ray._private.utils import get_num_cpus

        refuse(settings, int(get_num_cpus(override_docker_cpu_warning=True)), torch.cuda.device_count())


def refuse(settings: PretrainSettings, cpus: int, gpus: int) -> None:
    """Raise UsageError when a machine of `cpus` and `gpus` has no room for the fewest workers of a run."""
    fewest, on_gpus = settings.min_workers, gpus >= settings.min_workers
    shared = settings.cpus_per_worker is None and not on_gpus and fewest == settings.max_workers
    if shared:
        room, why = MOST_WORKERS_A_CPU * cpus, f"{MOST_WORKERS_A_CPU} workers a CPU"
    else:
        books = settings.cpus_per_worker or 1
        room, why = int(cpus / books + 1e-6), f"{books:g} CPUs a worker"
    if fewest <= room:
        return
    here = f"{cpus} CPUs and {gpus} GPUs" if gpus else f"{cpus} CPUs"
    better = min(room, gpus or cpus)
    give = f"give --workers {better}" if better else f"lower cpus_per_worker to {cpus} or less"
    raise UsageError(
        f"workers = {settings.workers}: this machine has {here}, which is room for {room} ({why}); {give}, or train "
        "on a cluster (docformer submit)"
    )
