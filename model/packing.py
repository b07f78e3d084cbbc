"""Sequences of a batch side by side in one row, without the padding between them.

A packed row is [1, N, ...]; its positions see those of their own sequence alone. The distances inside a sequence are
what they were, so T5's position bias is too, and so are all losses and gradients.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Packing:
    """How the sequences of a padded batch lie in a packed row.

    Attributes:
        lengths: real positions of each sequence, at its beginning in the padded batch; 0 leaves it out.
        width: positions of a sequence in the padded batch.
        device: of the batch.
        round_to: N is rounded up to a multiple of this, for kernels that are made for a length; what is added sees
            itself alone and is never read.
    """

    lengths: tuple[int, ...]
    width: int
    device: torch.device
    round_to: int = 1

    @property
    def positions(self) -> int:
        """N: positions of the packed row."""
        return -(-max(sum(self.lengths), 1) // self.round_to) * self.round_to

    @property
    def saves(self) -> bool:
        """Whether there is any padding to leave out."""
        return sum(self.lengths) < len(self.lengths) * self.width

    @property
    def starts(self) -> list[int]:
        """Where each sequence begins in the packed row."""
        return [0, *accumulate(self.lengths)][:-1]

    @cached_property
    def sequence(self) -> Tensor:
        """int64 [N], the sequence that each position belongs to; the number of sequences for what was added."""
        numbers = torch.arange(len(self.lengths) + 1)
        return numbers.repeat_interleave(torch.tensor([*self.lengths, self._added])).to(self.device)

    @cached_property
    def place(self) -> Tensor:
        """int64 [N], each position's place in its sequence; 0 for what was added."""
        places = [torch.arange(length) for length in self.lengths]
        return torch.cat([*places, torch.zeros(self._added, dtype=torch.long)]).to(self.device)

    @property
    def _added(self) -> int:
        return self.positions - sum(self.lengths)

    def pack(self, padded: Tensor) -> Tensor:
        """[B, width, ...] to [1, N, ...]."""
        packed: Tensor = _Pack.apply(padded, self)
        return packed

    def unpack(self, packed: Tensor) -> Tensor:
        """[1, N, ...] to [B, width, ...], padding 0."""
        padded: Tensor = _Unpack.apply(packed, self)
        return padded

    def _slices(self, padded: Tensor, packed: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for number, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            yield padded[number, :length], packed[0, start : start + length]


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        packed = padded.new_empty(1, packing.positions, *padded.shape[2:])
        for of_padded, of_packed in packing._slices(padded, packed):
            of_packed.copy_(of_padded)
        packed[0, sum(packing.lengths) :] = 0
        return packed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.packing.unpack(grad), None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        padded = packed.new_zeros(len(packing.lengths), packing.width, *packed.shape[2:])
        for of_padded, of_packed in packing._slices(padded, packed):
            of_padded.copy_(of_packed)
        return padded

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.packing.pack(grad), None


@dataclass(frozen=True)
class Packed:
    """What queries of one packed row may see of the keys of another: their own sequence."""

    queries: Packing
    keys: Packing

    def spans(self) -> list[tuple[int, int, int, int]]:
        """Start and length of each sequence's queries, then of its keys; those without any query left out."""
        both = zip(self.queries.starts, self.queries.lengths, self.keys.starts, self.keys.lengths, strict=True)
        return [span for span in both if span[1]]

    def kept(self, name: str, make: Callable[["Packed"], T]) -> T:
        """What `make` makes of this, made once for all layers."""
        if name not in self.__dict__:
            self.__dict__[name] = make(self)
        kept: T = self.__dict__[name]
        return kept

    @cached_property
    def visible(self) -> Tensor:
        """Bool [N of queries, N of keys]."""
        return self.queries.sequence[:, None] == self.keys.sequence[None]


def packing_of(real: Tensor, round_to: int = 1) -> Packing | None:
    """The packing that leaves padding out; `real` is bool [B, W], False for padding.

    None where padding stands before or between real positions: then it cannot be left out. On a GPU this waits for
    the device.
    """
    counts = real.sum(1)
    width = real.shape[1]
    if not torch.equal(real, torch.arange(width, device=real.device) < counts[:, None]):
        return None
    return Packing(tuple(counts.tolist()), width, real.device, round_to)
