"""A page's text layer: words, boxes and which way they run; read once more where its producer's tricks would deceive.

Letters printed twice for bold or a shadow would be words twice; fonts that claim to be several lines high would give
boxes of several lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymupdf
from numpy.typing import NDArray
from pymupdf import mupdf

# Ligatures come as their letters, as OCR reads them. A glyph that the font maps to nothing comes as U+FFFD: its code in
# the font would look like a letter and is none.
EXTRACT = pymupdf.TEXT_MEDIABOX_CLIP
ONCE = mupdf.FZ_STEXT_COLLECT_STYLES  # letters printed again at their place are left out; ten times as slow, or worse
MAX_LETTERS_ONCE = 20_000  # of a page read that way, whose time grows with their square
EVERYWHERE = mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE)
MIN_TWICE = 0.02  # of a page's words that stand twice at one place
NEAR = 4.0  # points
MIN_DOUBLED = 0.2  # of letters that are the next one again, for words to be looked at
MIN_TALL = 0.5  # of a page's lines that overlap the next one of their block by half their height
MIN_LINES = 3

# x0, y0, x1, y1, word, number of its block, of its line in that, of the word in that
Word = tuple[float, float, float, float, str, int, int, int]


@dataclass(frozen=True)
class TextLayer:
    """N words in the file's order.

    Attributes:
        words: never empty.
        places: float64 [N, 4] x0, y0, x1, y1 in points of the page as it is shown, origin at its top left.
        sideways: int8 [N], 1 for words that run down the page, -1 for words that run up, 0 for all others.
    """

    words: list[str]
    places: NDArray[np.float64]
    sideways: NDArray[np.int8]


def text_layer(drawn: Any) -> TextLayer:
    """The text layer of a display list, form fields and annotations included.

    `page.get_text` would take the page's rotation away first, and with it the frame that the picture has.
    """
    text = _structured(drawn, EXTRACT)
    found = text.extractWORDS()
    places = _places(found)
    if _stands_twice(found, places) and sum(len(word[4]) for word in found) <= MAX_LETTERS_ONCE:
        text = _structured(drawn, EXTRACT | ONCE)
        found = text.extractWORDS()
        places = _places(found)
    if _is_too_tall(found, places):
        pymupdf.TOOLS.set_small_glyph_heights(True)
        try:
            found = text.extractWORDS()
        finally:
            pymupdf.TOOLS.set_small_glyph_heights(False)
        places = _places(found)
    return TextLayer([word[4] for word in found], places, _sideways(text, found, places))


def _structured(drawn: Any, options: int) -> Any:
    page = mupdf.FzStextPage(mupdf.fz_bound_display_list(drawn))
    device = mupdf.fz_new_stext_device(page, mupdf.FzStextOptions(options))
    mupdf.fz_run_display_list(drawn, device, mupdf.FzMatrix(), EVERYWHERE, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return pymupdf.TextPage(page)


def _places(found: Sequence[Word]) -> NDArray[np.float64]:
    return np.array([word[:4] for word in found], np.float64).reshape(-1, 4)


def _stands_twice(found: Sequence[Word], places: NDArray[np.float64]) -> bool:
    """Whether many words are printed again at their place, as a whole or letter by letter ("TTwwiiccee")."""
    # Most pages have none of this: here and below, all words are asked at once first, and only then one by one.
    cells = (places[:, 0] // NEAR) * 65536 + places[:, 1] // NEAR
    if len(found) - len(np.unique(cells)) <= MIN_TWICE * len(found):
        letters = np.frombuffer("".join([word[4] for word in found]).encode("utf-32-le", "surrogatepass"), np.uint32)
        if np.count_nonzero(letters[1:] == letters[:-1]) <= MIN_DOUBLED * len(letters):
            return False
    long = [word for word in found if len(word[4]) > 1]
    once = {(word[4], word[0] // NEAR, word[1] // NEAR) for word in long}
    doubled = sum(len(text) >= 4 and text[::2] == text[1::2] for text, _, _ in once)
    return len(long) - len(once) + doubled > MIN_TWICE * len(found)


def _is_too_tall(found: Sequence[Word], places: NDArray[np.float64]) -> bool:
    """Whether most lines reach so far into the next one of their block that words could not be told to be on one."""
    if len(found) < 2:
        return False
    reach = places[:-1, 3] - places[1:, 1] >= MIN_TALL * (places[:-1, 3] - places[:-1, 1])
    if np.count_nonzero(reach & (places[1:, 1] > places[:-1, 1])) < MIN_LINES:
        return False
    number = np.array([word[5:7] for word in found])
    first = np.flatnonzero(np.append(True, (number[1:] != number[:-1]).any(axis=1)))
    top, bottom = places[first, 1], places[first, 3]
    below = (number[first[1:], 0] == number[first[:-1], 0]) & (top[1:] > top[:-1]) & (bottom[1:] > bottom[:-1])
    beside = places[first[1:], 0] < places[first[:-1], 2]
    into = bottom[:-1] - top[1:] >= MIN_TALL * (bottom - top)[:-1]
    lines = int(np.count_nonzero(below))
    return lines >= MIN_LINES and int(np.count_nonzero(below & beside & into)) > MIN_TALL * lines


def _sideways(text: Any, found: Sequence[Word], places: NDArray[np.float64]) -> NDArray[np.int8]:
    """Which way words run, int8 [N]; the directions of lines are asked for only where a word looks like it."""
    sideways = np.zeros(len(found), np.int8)
    # A word is higher than wide; or, from the top down as in Japanese, every letter is a word.
    high = np.flatnonzero(places[:, 3] - places[:, 1] > 1.5 * (places[:, 2] - places[:, 0]))
    if not any(len(found[place][4]) > 2 for place in high.tolist()):
        letters = "".join([word[4] for word in found])
        if len(letters) > 1.5 * len(found) or letters.isascii():
            return sideways
    runs: dict[tuple[int, int], int] = {}
    for block_number, block in enumerate(text.this):
        if block.m_internal.type == mupdf.FZ_STEXT_BLOCK_TEXT:
            for line_number, line in enumerate(block):
                direction = line.m_internal.dir
                if abs(direction.y) > 2 * abs(direction.x):
                    runs[block_number, line_number] = 1 if direction.y > 0 else -1
    for place, word in enumerate(found):
        sideways[place] = runs.get((word[5], word[6]), 0)
    return sideways
