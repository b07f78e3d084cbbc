"""Refusing tensors whose sides do not fit those of the others."""

from torch import Tensor

from model.errors import ModelInputError


def check_sides(name: str, tensor: Tensor | None, *sides: int | None) -> None:
    """Raise ModelInputError where the tensor has other sides than these; None stands for any. No tensor fits."""
    if tensor is None:
        return
    fits = tensor.dim() == len(sides)
    # Side by side: a compiled step stays one for all lengths.
    for own, side in zip(tensor.shape, sides, strict=False):
        fits = fits and (side is None or own == side)
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in sides)
        raise ModelInputError(f"{name} is {list(tensor.shape)}: give [{wanted}], as the other inputs have it")
