"""Refusing inputs: tensors whose sides do not fit those of the others, and tokens that come embedded."""

from typing import Any

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


def refuse_embedded(arguments: dict[str, Any]) -> None:
    """Raise ModelInputError for tokens that come embedded: their boxes and their order among the page's are not known.

    Left unread, they would be lost without a word, for example the virtual tokens of a prompt that is tuned.
    """
    for name in ("inputs_embeds", "decoder_inputs_embeds"):
        if arguments.get(name) is not None:
            raise ModelInputError(f"{name}: not taken by this model; give token ids")
