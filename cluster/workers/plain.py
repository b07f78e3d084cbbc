"""Training in this very process, without any cluster: for profiling, debugging, and a bare GPU machine."""

import os

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from cluster.settings import PretrainSettings
from cluster.workers.worker import work


def fit(settings: PretrainSettings) -> None:
    """Run the one worker of `settings` here."""
    if not dist.is_initialized():
        os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    work(settings)  # the group stays: DeepSpeed holds on to it for as long as the process lives
