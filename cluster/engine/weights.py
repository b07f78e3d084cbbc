"""ZeRO 1 and 2's updated weights, from each rank to all others, over gloo: in place of what DeepSpeed calls."""

from typing import Any

import torch.distributed as dist
from torch import Tensor


def gather_by_broadcasts() -> None:
    """Replace DeepSpeed's gathering in this process: gloo's takes three times as long as a broadcast by each rank."""
    from deepspeed.runtime.zero import stage_1_and_2

    stage_1_and_2.all_gather_dp_groups = _gather


def _gather(groups_flat: Any, partitioned_param_groups: list[list[Tensor]], dp_process_group: Any, **_: Any) -> None:
    """Fill each group's parts (views of its flat weights), one of every rank, from the ranks that have updated them."""
    under_way: list[Any] = [
        dist.broadcast(part, dist.get_global_rank(ranks, rank), group=ranks, async_op=True)
        for parts, ranks in zip(partitioned_param_groups, dp_process_group, strict=True)
        if len(parts) > 1
        for rank, part in enumerate(parts)
    ]
    for work in under_way:
        work.wait()
