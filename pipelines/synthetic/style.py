"""The look of one document: page size, fonts, sizes, margins and rotation, drawn at random."""

import random
from dataclasses import dataclass

from pipelines.synthetic.fonts import COURIER, HELVETICA, TIMES, Family
from pipelines.synthetic.sheet import Colour, Sheet

LETTER, A4, A5 = (612.0, 792.0), (595.0, 842.0), (420.0, 595.0)
ACCENTS: tuple[Colour, ...] = ((0, 0, 0), (0.1, 0.2, 0.45), (0.4, 0.1, 0.1), (0.05, 0.3, 0.2), (0.25, 0.25, 0.25))


@dataclass(frozen=True)
class Style:
    """Points throughout.

    Attributes:
        width, height: of the page as displayed.
        margin: white space on each side.
        family: fonts of the running text.
        size: of the running text.
        leading: from baseline to baseline of the running text.
        accent: colour of headings and bars.
        rotation: the pages' /Rotate, degrees clockwise.
    """

    width: float
    height: float
    margin: float
    family: Family
    size: float
    leading: float
    accent: Colour
    rotation: int

    @property
    def right(self) -> float:
        """X of the right margin."""
        return self.width - self.margin

    @property
    def bottom(self) -> float:
        """Y of the bottom margin."""
        return self.height - self.margin

    @property
    def inner(self) -> float:
        """Width between the margins."""
        return self.width - 2 * self.margin

    def sheet(self) -> Sheet:
        """An empty page."""
        return Sheet(self.width, self.height, self.rotation)


def draw_style(
    rng: random.Random,
    *,
    small_pages: bool = True,
    landscape: float = 0.0,
    rotated: float = 0.08,
    leading: float = 1.25,
) -> Style:
    """A random style.

    Args:
        rng: the document's random stream.
        small_pages: whether A5 may be drawn.
        landscape: share of pages that lie across.
        rotated: share of pages stored turned; of landscape pages, more than half.
        leading: in font sizes.
    """
    width, height = rng.choices([LETTER, A4, A5], [5, 4, 1 if small_pages else 0])[0]
    across = rng.random() < landscape
    if across:
        width, height = height, width
    turned = rng.random() < (0.6 if across else rotated)
    family = rng.choices([HELVETICA, TIMES, COURIER], [5, 4, 1])[0]
    size = rng.choice([8.0, 8.5, 9.0] if min(width, height) < 500 else [8.5, 9.0, 9.5, 10.0, 10.5, 11.0])
    if family is COURIER:
        size -= 1
    return Style(
        width=width,
        height=height,
        margin=float(rng.randint(30, 40) if min(width, height) < 500 else rng.randint(40, 72)),
        family=family,
        size=size,
        leading=round(size * (leading + rng.uniform(-0.05, 0.15)), 2),
        accent=rng.choice(ACCENTS),
        rotation=rng.choices([90, 270, 180], [6, 3, 1])[0] if turned else 0,
    )
