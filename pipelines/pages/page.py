"""What one page holds once it is read, before labels: the hand-over from the reading child to the pipeline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PageContent:
    """One page as read.

    Attributes:
        width, height: points, after rotation.
        words: of the text layer in the file's order; empty where there is none.
        boxes: float32 [N, 4], x0, y0, x1, y1 in points after rotation, origin at the top left.
        sideways: int8 [N], 1 for words that run down the page, -1 for words that run up, 0 for others; None: all 0.
        image: JPEG of the page, rotation applied.
        image_width, image_height: pixels.
        text_layer_trusted: whether the words can stand for what the page shows.
        trust_detail: why not, else empty.
    """

    width: float
    height: float
    words: list[str]
    boxes: NDArray[np.float32]
    image: bytes
    image_width: int
    image_height: int
    text_layer_trusted: bool
    trust_detail: str
    sideways: NDArray[np.int8] | None = None
