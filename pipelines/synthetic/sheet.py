"""A page being drawn: text and shapes as displayed, kept both as PDF operators and as the truth about them."""

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.synthetic.fonts import ENCODING, metrics, text_width
from pipelines.synthetic.truth import PageTruth

Colour = tuple[float, float, float]
BLACK: Colour = (0.0, 0.0, 0.0)
WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass
class Sheet:
    """One page; x to the right and y downward from the top left of the page as displayed, in points.

    Attributes:
        width, height: of the page as displayed.
        rotation: the page's /Rotate: 0, 90, 180 or 270 degrees clockwise.
    """

    width: float
    height: float
    rotation: int = 0
    operators: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    baselines: list[float] = field(default_factory=list)

    def text(
        self,
        x: float,
        baseline: float,
        text: str,
        font: str,
        size: float,
        align: str = "left",
        word_space: float = 0.0,
        colour: Colour = BLACK,
    ) -> float:
        """Write one run of words.

        Args:
            x: of the run's left end, right end or centre, as `align` says.
            baseline: y on which the letters stand.
            text: words parted by spaces.
            font: short name.
            size: of the font.
            align: left, right or centre.
            word_space: points added to each space, to justify.
            colour: of the ink.

        Returns:
            The x at which the run ends.
        """
        measure = metrics(font)
        width = text_width(text, font, size) + word_space * text.count(" ")
        start = x - {"left": 0.0, "right": width, "centre": width / 2}[align]
        space = measure.widths[32] * size + word_space
        pen = start
        for word in text.split(" "):
            end = pen + text_width(word, font, size)
            if word:
                self.words.append(word)
                self.boxes.append((pen, baseline - measure.ascender * size, end, baseline + measure.descender * size))
                self.baselines.append(round(baseline, 2))
            pen = end + space
        escaped = "".join("\\" + letter if letter in "()\\" else letter for letter in text)
        self.operators.append(
            f"BT {_rgb(colour)} rg /{font} {size:g} Tf {word_space:.4f} Tw "
            f"1 0 0 1 {start:.3f} {self.height - baseline:.3f} Tm ({escaped}) Tj ET"
        )
        return start + width

    def rule(self, x0: float, y0: float, x1: float, y1: float, weight: float = 0.6, colour: Colour = BLACK) -> None:
        """Draw a straight line."""
        self.curve([(x0, y0), (x1, y1)], weight, colour)

    def curve(self, points: list[tuple[float, float]], weight: float, colour: Colour = BLACK) -> None:
        """Draw a line through the first point and then, by twos or more, straight pieces to each further one."""
        path = [f"{x:.2f} {self.height - y:.2f} {'l' if place else 'm'}" for place, (x, y) in enumerate(points)]
        self.operators.append(f"{_rgb(colour)} RG {weight:g} w {' '.join(path)} S")

    def box(self, x0: float, y0: float, x1: float, y1: float, weight: float = 0.6, colour: Colour = BLACK) -> None:
        """Draw the outline of a rectangle."""
        self.operators.append(f"{_rgb(colour)} RG {weight:g} w {self._rectangle(x0, y0, x1, y1)} S")

    def fill(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Paint a rectangle."""
        self.operators.append(f"{_rgb(colour)} rg {self._rectangle(x0, y0, x1, y1)} f")

    def _rectangle(self, x0: float, y0: float, x1: float, y1: float) -> str:
        return f"{x0:.2f} {self.height - y1:.2f} {x1 - x0:.2f} {y1 - y0:.2f} re"

    @property
    def media_size(self) -> tuple[float, float]:
        """Width and height of the page before its rotation."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    def content(self) -> bytes:
        """The page's content stream, turned so that it is upright once /Rotate is applied."""
        turn = {
            0: "1 0 0 1 0 0",
            90: f"0 1 -1 0 {self.height:g} 0",
            180: f"-1 0 0 -1 {self.width:g} {self.height:g}",
            270: f"0 -1 1 0 0 {self.width:g}",
        }[self.rotation]
        return "\n".join([f"q {turn} cm", *self.operators, "Q"]).encode(ENCODING)

    def cut(self, height: float) -> "Sheet":
        """The page shortened to `height`, what is drawn staying where it is from the top."""
        raised = f"1 0 0 1 0 {height - self.height:.3f} cm"
        return replace(self, height=height, operators=[raised, *self.operators])

    def truth(self) -> PageTruth:
        """Words, boxes and lines: a line is a baseline."""
        top: dict[float, tuple[float, float]] = {}
        for baseline, (x0, y0, _, _) in zip(self.baselines, self.boxes, strict=True):
            high, left = top.get(baseline, (y0, x0))
            top[baseline] = (min(high, y0), min(left, x0))
        rank = {baseline: line for line, baseline in enumerate(sorted(top, key=lambda key: top[key]))}
        return PageTruth(
            width=self.width,
            height=self.height,
            rotation=self.rotation,
            skew=0.0,
            words=tuple(self.words),
            boxes=np.asarray(self.boxes, np.float32).reshape(-1, 4),
            line_ids=np.asarray([rank[baseline] for baseline in self.baselines], np.int32),
        )


def _rgb(colour: Colour) -> str:
    return "{:g} {:g} {:g}".format(*colour)
