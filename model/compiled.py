"""When operators of ours stand in a graph."""

import torch
from torch import Tensor


def by_operators(tensor: Tensor) -> bool:
    """Whether a step is compiled for a CPU, where torch's own kernels do better than what a compiler makes of them.

    A graph that is exported holds none, so that it needs no docformer.
    """
    return tensor.device.type == "cpu" and torch.compiler.is_compiling() and not torch.compiler.is_exporting()
