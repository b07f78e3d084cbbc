"""Line charts as a PNG, two a row, for terminals and chats that show no HTML."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cluster.figures import figure
from cluster.runs.curves import Series, drawable, ticks

SCALE = 2  # drawn larger and scaled down, which smooths the lines
WIDTH, HEIGHT = 620, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 34, 62
INK, QUIET, GRID, PAPER = "#1c2024", "#60646c", "#e4e6ea", "#ffffff"
PALETTE = ("#2563c9", "#c2410c", "#15803d", "#8b3fc4", "#6b7280")


def draw(charts: Sequence[tuple[str, Sequence[Series]]], out: Path) -> None:
    """Write `charts`, each a title and its curves, as one PNG picture.

    Args:
        charts: titles and curves.
        out: the file.
    """
    rows = -(-len(charts) // 2)
    columns = min(2, len(charts))
    picture = Image.new("RGB", (columns * WIDTH * SCALE, rows * HEIGHT * SCALE), PAPER)
    for place, (title, series) in enumerate(charts):
        part = _chart(title, series)
        picture.paste(part, ((place % 2) * WIDTH * SCALE, (place // 2) * HEIGHT * SCALE))
    picture.resize((columns * WIDTH, rows * HEIGHT), Image.Resampling.LANCZOS).save(out, "PNG")


def _chart(title: str, series: Sequence[Series]) -> Image.Image:
    picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = ImageDraw.Draw(picture)
    small, large = (ImageFont.load_default(size * SCALE) for size in (12, 15))
    drawn = drawable(series)
    xs = [x for s in drawn for x, _ in s.points]
    ys = [y for s in drawn for _, y in s.points]
    pen.text((LEFT * SCALE, 8 * SCALE), title, INK, large)
    if not xs:
        return picture
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_ticks = ticks(min(0.0, *ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return across * SCALE, down * SCALE

    for y in y_ticks:
        _, at = place(x_low, y)
        pen.line([(LEFT * SCALE, at), ((WIDTH - RIGHT) * SCALE, at)], GRID, SCALE)
        pen.text(((LEFT - 8) * SCALE, at), f"{y:g}", QUIET, small, anchor="rm")
    for x in (t for t in ticks(x_low, x_high) if x_low <= t <= x_high):
        at, _ = place(x, y_low)
        pen.text((at, (HEIGHT - BOTTOM + 6) * SCALE), f"{x:g}", QUIET, small, anchor="ma")
    for s in sorted(drawn, key=lambda s: not s.baseline):
        colour = PALETTE[(s.colour - 1) % len(PALETTE)]
        points = [place(x, y) for x, y in s.points]
        if s.baseline:
            _dashed(pen, points, colour)
        else:
            pen.line(points, colour, 2 * SCALE, joint="curve")
        if s.dots or len(points) == 1:
            for x, y in points:
                pen.ellipse([x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE], colour)
    _key(pen, drawn, small)
    return picture


def _key(pen: ImageDraw.ImageDraw, drawn: Sequence[Series], font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> None:
    """Names and last values below the axis, as many as there is room for."""
    x, y = LEFT * SCALE, (HEIGHT - 22) * SCALE
    for s in drawn:
        name = f"{s.name}  {figure(s.points[-1][1])}"
        width = pen.textlength(name, font) + 34 * SCALE
        if x + width > WIDTH * SCALE:
            return
        colour = PALETTE[(s.colour - 1) % len(PALETTE)]
        ends = [(float(x), float(y)), (x + 14.0 * SCALE, float(y))]
        if s.baseline:
            _dashed(pen, ends, colour)
        else:
            pen.line(ends, colour, 3 * SCALE)
        pen.text((x + 18 * SCALE, y), name, INK, font, anchor="lm")
        x += int(width)


def _dashed(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: str) -> None:
    """A dashed line through `points`."""
    dash = 5 * SCALE
    for (x0, y0), (x1, y1) in pairwise(points):
        length = max(1.0, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)
        for start in range(0, int(length), 2 * dash):
            a, b = start / length, min(1.0, (start + dash) / length)
            pen.line(
                [(x0 + a * (x1 - x0), y0 + a * (y1 - y0)), (x0 + b * (x1 - x0), y0 + b * (y1 - y0))], colour, SCALE
            )
