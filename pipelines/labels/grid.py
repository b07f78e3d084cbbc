"""Token-to-grid labels: which cell of a grid laid over the page a box's anchor is in (contract, `grid_cells`)."""

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 256


def grid_cells(boxes: NDArray[np.uint16], rows: int, columns: int, anchor: str) -> NDArray[np.uint8]:
    """Cell of each box, row-major from the top left: uint8 [N].

    Args:
        boxes: [N, 4] x0, y0, x1, y1 in 0..1000 of the page.
        rows: of the grid.
        columns: of the grid; rows x columns <= 256.
        anchor: "top-left" or "centre" of the box.
    """
    box = boxes.astype(np.int64)
    if anchor == "centre":
        # Halves kept exact: twice the centre, in 0..2000.
        x, y, scale = box[:, 0] + box[:, 2], box[:, 1] + box[:, 3], 2000
    else:
        x, y, scale = box[:, 0], box[:, 1], 1000
    column = np.minimum(x * columns // scale, columns - 1)
    row = np.minimum(y * rows // scale, rows - 1)
    cells: NDArray[np.uint8] = (row * columns + column).astype(np.uint8)
    return cells
