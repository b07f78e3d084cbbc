"""Line charts as inline SVG: readable in light and dark, without a script, and with their figures in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.figures import figure
from pipelines.report.html import text

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 8, 30
MAX_POINTS = 400  # a longer curve is thinned by means of neighbours: more points than pixels tell nothing
COLOURS = 5  # --c1 .. --c5 in report.css


@dataclass(frozen=True)
class Series:
    """One curve: its name in the key, its (x, y) points, its colour 1..5, and whether it is a quiet dashed baseline."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 1
    baseline: bool = False
    dots: bool = False


def chart(
    title: str, note: str, series: Sequence[Series], x_label: str = "step", y_range: tuple[float, float] | None = None
) -> str:
    """Return a figure of `series` over one x axis, or "" where no series has a point.

    Args:
        title: what is drawn.
        note: how to read it, in one sentence.
        series: curves; points that are not finite are left out.
        x_label: unit of the x axis.
        y_range: lowest and highest y; by default from the data, above 0 where all values are.
    """
    drawn = drawable(series)
    if not drawn:
        return ""
    xs = [x for s in drawn for x, _ in s.points]
    ys = [y for s in drawn for _, y in s.points]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_ticks = ticks(*(y_range or (min(0.0, *ys), max(ys))))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for y in y_ticks:
        _, at = place(x_low, y)
        parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    for x in [t for t in ticks(x_low, x_high) if x_low <= t <= x_high]:
        at, _ = place(x, y_low)
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT}" text-anchor="end">{text(x_label)}</text>')
    for s in sorted(drawn, key=lambda s: not s.baseline):
        colour = f"var(--c{(s.colour - 1) % COLOURS + 1})"
        at_points = [place(x, min(max(y, y_low), y_high)) for x, y in s.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in at_points)
        tip = f"<title>{text(s.name)}: {_figure(s.points[0][1])} to {_figure(s.points[-1][1])}</title>"
        faint = ' class="faint"' if s.baseline else ""
        parts.append(f'<path{faint} d="M{path}" style="stroke:{colour}">{tip}</path>')
        if s.dots:
            parts += [
                f'<circle class="dot" cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" style="fill:{colour}">'
                f"<title>{text(s.name)} at {text(x_label)} {x:g}: {_figure(y)}</title></circle>"
                for (cx, cy), (x, y) in zip(at_points, s.points, strict=True)
            ]
    key = "".join(
        f'<li><i{" class=faint" if s.baseline else ""} style="color:var(--c{s.colour})"></i>{text(s.name)} '
        f"<b>{_figure(s.points[-1][1])}</b></li>"
        for s in drawn
    )
    spoken = "; ".join(f"{s.name} from {_figure(s.points[0][1])} to {_figure(s.points[-1][1])}" for s in drawn)
    return (
        f'<figure class="chart"><figcaption>{text(title)}<span>{text(note)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}: {text(spoken)}">'
        f"{''.join(parts)}</svg>"
        f'<ul class="key">{key}</ul></figure>'
    )


def drawable(series: Sequence[Series]) -> list[Series]:
    """The curves that have a finite point, without the points that are not, and thinned to what a picture can show."""
    drawn = [Series(s.name, _thin(_finite(s.points)), s.colour, s.baseline, s.dots) for s in series]
    return [s for s in drawn if s.points]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers that cover `low`..`high`, about as many as asked for."""
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil((low + span) / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _figure(value: float) -> str:
    """Three decimals, and for what is small, such as a learning rate, as many as say something."""
    return figure(value, decimals=3)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(len(points) / MAX_POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    # The last group's x stays the last step, so that a curve ends where its run ended.
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
