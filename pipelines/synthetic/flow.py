"""Running text: broken into lines of a given width, and set line under line."""

from pipelines.synthetic.fonts import text_width
from pipelines.synthetic.sheet import BLACK, Colour, Sheet


def wrap(text: str, font: str, size: float, width: float, indent: float = 0.0) -> list[str]:
    """Lines of at most `width` points; the first is shorter by `indent`; a longer word stands alone in its line."""
    lines: list[str] = []
    line, room = "", width - indent
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, font, size) > room:
            lines.append(line)
            line, room = word, width
        else:
            line = longer
    return [*lines, line] if line else lines


def fit(text: str, font: str, size: float, width: float) -> str:
    """As many whole words of `text` as are no wider than `width`, at least one."""
    return (wrap(text, font, size, width) or [""])[0]


def set_line(sheet: Sheet, x: float, baseline: float, line: str, font: str, size: float, width: float) -> None:
    """One justified line: its spaces widened to fill `width`."""
    spare = width - text_width(line, font, size)
    spaces = line.count(" ")
    # Widening beyond a font size would tear the line apart.
    word_space = spare / spaces if spaces and spare < spaces * size else 0.0
    sheet.text(x, baseline, line, font, size, word_space=word_space)


def paragraph(
    sheet: Sheet,
    x: float,
    baseline: float,
    text: str,
    font: str,
    size: float,
    width: float,
    leading: float,
    justify: bool = False,
    align: str = "left",
    colour: Colour = BLACK,
) -> float:
    """Set a paragraph with its first line on `baseline`; returns the baseline after its last."""
    lines = wrap(text, font, size, width)
    anchor = x + {"left": 0.0, "right": width, "centre": width / 2}[align]
    for place, line in enumerate(lines):
        if justify and place < len(lines) - 1:
            set_line(sheet, x, baseline, line, font, size, width)
        else:
            sheet.text(anchor, baseline, line, font, size, align, colour=colour)
        baseline += leading
    return baseline
