"""Small drawings without words: logos, signatures, bar codes, charts, check marks."""

import math
import random

from pipelines.synthetic.sheet import BLACK, Colour, Sheet


def logo(sheet: Sheet, rng: random.Random, x: float, y: float, side: float, colour: Colour) -> float:
    """A simple sign with its top left at (x, y) on half of the pages; returns the width to leave for it, or 0."""
    shape = rng.randrange(6)
    if shape > 2:
        return 0.0
    if shape == 0:
        sheet.fill(x, y, x + side, y + side, colour)
        sheet.fill(x + side * 0.3, y + side * 0.3, x + side * 0.7, y + side * 0.7, (1, 1, 1))
    elif shape == 1:
        for bar in range(4):
            sheet.fill(x + bar * side / 4, y + bar * side / 6, x + (bar + 0.6) * side / 4, y + side, colour)
    else:
        for size in (0.5, 0.34, 0.18):
            circle(sheet, x + side / 2, y + side / 2, side * size, 2.0, colour)
    return side + 10


def circle(sheet: Sheet, x: float, y: float, radius: float, weight: float, colour: Colour = BLACK) -> None:
    """A circle, as a polygon of 24 corners."""
    turns = [2 * math.pi * corner / 24 for corner in range(25)]
    sheet.curve([(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns], weight, colour)


def signature(sheet: Sheet, rng: random.Random, x: float, baseline: float, width: float) -> None:
    """A scribble that could be a name."""
    phase, speed, slant = rng.uniform(0, 6), rng.uniform(3, 11), rng.uniform(3, 9)
    loops, tall = rng.uniform(3, 7), rng.uniform(5, 11)
    width *= rng.uniform(0.6, 1.1)
    points = []
    for step in range(90):
        t = step / 89
        swing = tall * math.sin(speed * 6 * t + phase) * (1 - 0.7 * t)
        points.append((x + width * t + slant * math.cos(speed * loops * t), baseline - 6 - swing))
    sheet.curve(points, 0.9, (0.1, 0.1, 0.35))


def bar_code(sheet: Sheet, rng: random.Random, x: float, y: float, width: float, height: float) -> None:
    """Upright bars of random thickness."""
    at = x
    while at < x + width - 3:
        thick = rng.choice([0.7, 0.7, 1.4, 2.1])
        sheet.fill(at, y, at + thick, y + height, BLACK)
        at += thick + rng.choice([0.7, 1.4, 1.4, 2.1])


def bar_chart(sheet: Sheet, rng: random.Random, x: float, y: float, width: float, height: float) -> None:
    """A chart of bars on two axes, without words."""
    bars = rng.randint(4, 9)
    step = width / bars
    for bar in range(bars):
        tall = rng.uniform(0.15, 0.95) * height
        grey = rng.uniform(0.3, 0.8)
        sheet.fill(x + (bar + 0.2) * step, y + height - tall, x + (bar + 0.8) * step, y + height, (grey, grey, grey))
    sheet.rule(x, y + height, x + width, y + height, 0.8)
    sheet.rule(x, y, x, y + height, 0.8)


def line_chart(sheet: Sheet, rng: random.Random, x: float, y: float, width: float, height: float) -> None:
    """One to three wandering lines on two axes, without words."""
    for line in range(rng.randint(1, 3)):
        level, points = rng.uniform(0.2, 0.8), []
        for step in range(20):
            level = min(0.98, max(0.02, level + rng.uniform(-0.12, 0.12)))
            points.append((x + width * step / 19, y + height * (1 - level)))
        sheet.curve(points, 1.0, (0.2 * line, 0.2 * line, 0.3 * line))
    sheet.rule(x, y + height, x + width, y + height, 0.8)
    sheet.rule(x, y, x, y + height, 0.8)


def check_box(sheet: Sheet, x: float, baseline: float, size: float, ticked: bool) -> None:
    """A small square on the baseline, crossed where ticked."""
    side = 0.8 * size
    sheet.box(x, baseline - side, x + side, baseline, 0.7)
    if ticked:
        sheet.rule(x + 1, baseline - side + 1, x + side - 1, baseline - 1, 1.1)
        sheet.rule(x + 1, baseline - 1, x + side - 1, baseline - side + 1, 1.1)
