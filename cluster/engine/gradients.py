"""ZeRO 1's gradients in one piece: copied once into a flat tensor, averaged over the ranks; a rank's part is a view.

DeepSpeed itself copies every gradient four times on this way, into memory that it takes anew for each of them.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def reduce_in_one_piece(optimizer: Any) -> None:
    """Replace how DeepSpeed's optimizer of stage 1 averages the gradients of a step over the ranks.

    The one that it has for bf16 with sums in fp32 is another, which keeps them in one piece already.
    """
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    if isinstance(optimizer, DeepSpeedZeroOptimizer):
        optimizer.reduce_gradients = partial(_reduce, optimizer)


@torch.no_grad()
def _reduce(optimizer: Any, pipeline_parallel: bool = False) -> None:
    from deepspeed.runtime.zero.stage_1_and_2 import GradPartitionBufferGroup

    for group, weights in enumerate(optimizer.bit16_groups_flat):
        flat = torch.empty(weights.numel(), dtype=optimizer.gradient_accumulation_dtype, device=weights.device)
        places = list(_places(weights, optimizer.bit16_groups[group]))
        end = 0
        for start, parameter in places:
            flat[end:start].zero_()
            end = start + parameter.numel()
            gradient = optimizer.get_gradient_for_reduction(parameter)
            flat[start:end].copy_(torch.zeros(()) if gradient is None else gradient.reshape(-1))
            parameter.grad = None
            optimizer.clear_grad_attribute(parameter)
        flat[end:].zero_()
        ranks = optimizer.real_dp_process_group[group]
        if dist.get_world_size(ranks) > 1:
            dist.all_reduce(flat.div_(dist.get_world_size(ranks)), group=ranks)
        size = int(optimizer.partition_size[group])
        low = size * dist.get_rank(ranks)
        own = [
            flat[max(start, low) : min(start + parameter.numel(), low + size)]
            for start, parameter in places
            if max(start, low) < min(start + parameter.numel(), low + size)
        ]
        optimizer.averaged_gradients[group] = GradPartitionBufferGroup(own, flat[low : low + size])
    optimizer._release_ipg_buffers()
    optimizer._epilogue_ran_this_backward = True


def _places(weights: Tensor, parameters: list[Any]) -> Iterator[tuple[int, Any]]:
    """First element of each parameter in the flat weights that it is a view of, in their order there."""
    base = weights.storage_offset()
    yield from sorted(((p.data.storage_offset() - base, p) for p in parameters), key=lambda place: place[0])
