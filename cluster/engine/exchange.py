"""What the workers of a run tell each other between steps: small objects and sums, on the host."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Exchange:
    """Collective calls among all ranks on host memory; torch.distributed must be up.

    They go through gloo also where gradients travel by NCCL, so that none of them waits for the GPU.
    """

    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self._group: Any = dist.new_group(backend="gloo") if dist.get_backend() != "gloo" else dist.group.WORLD

    def all(self, value: Any) -> list[Any]:
        """Every rank's `value`, in rank order, on every rank; also a barrier."""
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """The sum of every rank's `values` (host, any dtype), as float64: the same on every rank."""
        total = values.to("cpu", torch.float64, copy=True)
        dist.all_reduce(total, group=self._group)
        return total
