"""What is known of a generated document because it was drawn, not read: words, boxes and lines of each page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.quarantine import Reason


@dataclass(frozen=True, eq=False)
class PageTruth:
    """The words of one page in the order they were drawn; N words.

    Attributes:
        width, height: page size in points, after rotation.
        rotation: the page's /Rotate, degrees clockwise.
        skew: slope dy/dx of the text lines (positive: lines fall to the right); 0 unless scanned.
        words: without white space, never empty.
        boxes: float32 [N, 4] x0, y0, x1, y1 in points, after rotation, origin at the page's top left.
        line_ids: int32 [N], visual line of each word (contract, `line_ids`): words on one baseline share a line; lines
            are ordered by top, then left.
    """

    width: float
    height: float
    rotation: int
    skew: float
    words: tuple[str, ...]
    boxes: NDArray[np.float32]
    line_ids: NDArray[np.int32]


@dataclass(frozen=True)
class DocumentTruth:
    """One generated file.

    Attributes:
        name: of the file in the folder.
        kind: invoice, form, table, letter, article or receipt; of a hostile file, what is wrong with it.
        scan: whether its pages are pictures without a text layer.
        reason: with which the whole file or its only page is to be quarantined; None for a good document.
        pages: in order; empty for a hostile file.
    """

    name: str
    kind: str
    scan: bool
    reason: Reason | None
    pages: tuple[PageTruth, ...]

    @property
    def hostile(self) -> bool:
        """Whether the file is meant to be quarantined."""
        return self.reason is not None
