"""AdamW whose update can be left out at the last moment, when the whole gradient's norm is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class GatedAdamW(torch.optim.AdamW):
    """AdamW that asks before each update; a closed gate leaves weights, moments and step count as they are."""

    _gate: Callable[[], bool] | None = None

    @contextmanager
    def gated(self, gate: Callable[[], bool]) -> Iterator[None]:
        """Ask `gate` once, at the first update inside this block, and keep to its answer to the end of the block."""
        answer: bool | None = None

        def ask() -> bool:
            nonlocal answer
            if answer is None:
                answer = gate()
            return answer

        self._gate = ask
        try:
            yield
        finally:
            self._gate = None

    def step(self, closure: Any = None) -> Any:
        """Update, unless the gate is closed. DeepSpeed calls this once a parameter group."""
        if self._gate is None or self._gate():
            return super().step(closure)
        return None


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices with weight decay, vectors without."""
    matrices = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
