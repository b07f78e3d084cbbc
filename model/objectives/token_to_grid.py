"""Token-to-grid: the grid cell of each token's word; paper section 2.

The cell itself comes from the corpus (contract column `grid_cells`): every sub-word carries its word's cell, a
sentinel that of the first word it replaces, and the eos and visual tokens carry none.
"""

import numpy as np
from numpy.typing import NDArray

IGNORED = -100


def grid_targets(cells: NDArray[np.int64], positions: int) -> NDArray[np.int64]:
    """Labels int64 [positions]: `cells` (int [S], cell of each text position) and -100 for the rest (the eos)."""
    labels = np.full(positions, IGNORED, np.int64)
    labels[: len(cells)] = cells
    return labels
