"""Gradients of stages 0 and 1 in one piece: summed where they stay, exchanged there while the backward pass goes on.

DeepSpeed itself copies every gradient up to four times on this way, into memory that it takes anew for each of them,
and exchanges them when the last one is there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# As DDP has it: large enough for a network's speed, small enough that the first leaves early.
BUCKET_BYTES = 25 << 20


@dataclass
class _Bucket:
    """Elements start .. end of the flat gradients, and how many of its parameters' gradients are still to come."""

    start: int
    end: int
    parameters: int
    missing: int


class FlatGradients:
    """The gradients of some parameters as views of one tensor, in which the backward passes of a step add them up.

    A parameter's first gradient of a step is copied there while it is fresh, and takes its place; autograd adds the
    later ones to it. Where sums have another type than the parameter, each gradient is added as it comes. In the step's
    last backward pass the sum over the ranks begins as soon as a bucket is complete, in an order that is the same on
    all ranks.

    Args:
        places: parameters, and their first elements in the flat tensor, in rising order.
        length: elements of the flat tensor; those of no parameter stay 0.
        ranks: process group that adds its gradients up.
        dtype: of the sums.
    """

    def __init__(self, places: Iterable[tuple[int, Any]], length: int, ranks: Any, dtype: torch.dtype) -> None:
        self._places, self._ranks = list(places), ranks
        self._flat = torch.zeros(length, dtype=dtype, device=self._places[0][1].device)
        self._views = [
            self._flat[start : start + parameter.numel()].view_as(parameter) for start, parameter in self._places
        ]
        self._begun = [False] * len(self._places)  # of which parameters this step has gradients
        self._buckets: list[_Bucket] = []
        end = length
        for place, (start, parameter) in reversed(list(enumerate(self._places))):
            if not self._buckets or (self._buckets[-1].end - start) * self._flat.itemsize > BUCKET_BYTES:
                self._buckets.append(_Bucket(start, end, 0, 0))
            bucket = self._buckets[-1]
            bucket.start = end = start
            bucket.parameters += 1
            parameter.register_post_accumulate_grad_hook(partial(self._settle, place=place, bucket=bucket))
        self._buckets[-1].start = 0
        self._last, self._early = False, True
        self._under_way: list[Any] = []

    def begin(self, last: bool, early: bool = True) -> None:
        """Call before each backward pass; the sum over the ranks is made in the step's last, or, not `early`, after it.

        Of several tensors only the first may be early: which of them is complete first may differ among the ranks, and
        all must exchange in one order.
        """
        self._last = last and dist.get_world_size(self._ranks) > 1
        self._early = early
        for bucket in self._buckets:
            bucket.missing = bucket.parameters

    def take(self) -> Tensor:
        """The flat tensor summed over the ranks, 0 where no rank has a gradient; the parameters have none any more."""
        for (_, parameter), view, begun in zip(self._places, self._views, self._begun, strict=True):
            if not begun:
                view.zero_()
            parameter.grad = None
        self._begun = [False] * len(self._places)
        if self._last:
            self._exchange(len(self._buckets))
            for work in self._under_way:
                work.wait()
            self._under_way = []
        return self._flat

    def give(self) -> None:
        """Leave every parameter its gradient summed over the ranks, 0 where no rank has one."""
        self.take()
        for (_, parameter), view in zip(self._places, self._views, strict=True):
            parameter.grad = view

    def parts(self, low: int, high: int) -> list[Tensor]:
        """Elements low .. high of the flat tensor that are of parameters, a view for each of these."""
        ends = [(max(start, low), min(start + parameter.numel(), high)) for start, parameter in self._places]
        return [self._flat[start:end] for start, end in ends if start < end]

    def _settle(self, parameter: Tensor, place: int, bucket: _Bucket) -> None:
        view, gradient = self._views[place], parameter.grad
        if gradient is not None and gradient is not view:
            view.add_(gradient) if self._begun[place] else view.copy_(gradient)
            parameter.grad = view if view.dtype == parameter.dtype else None
            self._begun[place] = True
        if self._last and self._early:
            bucket.missing -= 1
            complete = next((k for k, one in enumerate(self._buckets) if one.missing), len(self._buckets))
            self._exchange(complete)

    def _exchange(self, until: int) -> None:
        for bucket in self._buckets[len(self._under_way) : until]:
            part = self._flat[bucket.start : bucket.end]
            self._under_way.append(dist.all_reduce(part, group=self._ranks, async_op=True))


class PlainExchange(FlatGradients):
    """Takes the place of how DeepSpeed's engine adds the gradients of all ranks up without ZeRO.

    Losses have to be the shares of the ranks in the global one: gradients are added up, not averaged.

    Args:
        engine: DeepSpeed's.
    """

    def __init__(self, engine: Any) -> None:
        parameters = [parameter for parameter in engine.module.parameters() if parameter.requires_grad]
        ends = list(accumulate(parameter.numel() for parameter in parameters))
        places = zip([0, *ends], parameters, strict=False)
        super().__init__(places, ends[-1], dist.group.WORLD, parameters[0].dtype)
        engine.buffered_allreduce_fallback = lambda **_: self.give()


class ZeroExchange:
    """The same in place of how DeepSpeed's optimizer of stage 1 gathers the gradients of a step, and adds them up.

    Args:
        optimizer: a DeepSpeedZeroOptimizer that sums gradients in the weights' type, as far as it knows.
        dtype: in which they are summed.
    """

    def __init__(self, optimizer: Any, dtype: torch.dtype) -> None:
        self._optimizer = optimizer
        self._flats = [
            FlatGradients(_places(weights, parameters), weights.numel(), ranks, dtype)
            for weights, parameters, ranks in zip(
                optimizer.bit16_groups_flat, optimizer.bit16_groups, optimizer.real_dp_process_group, strict=True
            )
        ]
        optimizer.reduce_gradients = self._reduce

    def begin(self, last: bool) -> None:
        """Call before each backward pass with whether it ends the step."""
        for place, gradients in enumerate(self._flats):
            gradients.begin(last, early=place == 0)

    @torch.no_grad()
    def _reduce(self, pipeline_parallel: bool = False) -> None:
        from deepspeed.runtime.zero.stage_1_and_2 import GradPartitionBufferGroup

        optimizer = self._optimizer
        for group, gradients in enumerate(self._flats):
            flat, size = gradients.take(), int(optimizer.partition_size[group])
            low = size * dist.get_rank(optimizer.real_dp_process_group[group])
            own = GradPartitionBufferGroup(gradients.parts(low, low + size), flat[low : low + size])
            optimizer.averaged_gradients[group] = own
        optimizer._release_ipg_buffers()
        optimizer._epilogue_ran_this_backward = True


def _places(weights: Tensor, parameters: list[Any]) -> Iterator[tuple[int, Any]]:
    """First element of each parameter in the flat weights that it is a view of, in their order there."""
    base = weights.storage_offset()
    yield from sorted(((p.data.storage_offset() - base, p) for p in parameters), key=lambda place: place[0])
