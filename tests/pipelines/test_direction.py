"""Words of lines written from the right are in the order in which they are read, and so is what runs the other way."""

import random

import numpy as np
import pymupdf
import pytest

from pipelines.labels.direction import directions
from pipelines.labels.page_labels import LabelledPage, label_page
from pipelines.pages.reader import Document

HEBREW = "ברוך קם בבוקר לפני השמש ושתה כוס קפה שחור לאט"
ARABIC = "ذهب يوسف في عام مع صديقه ثم رجع"


def labelled(lines: list[str], columns: int = 1) -> LabelledPage:
    """A page of lines as they look from left to right, one column after the other; its words come in any order.

    Three spaces are a wide gap.
    """
    words, boxes = [], []
    rows = len(lines) // columns
    for number, line in enumerate(lines):
        x, y = 20 + 200 * (number // rows), 20 + 16 * (number % rows)
        for word in line.split(" "):
            if word:
                words.append(word)
                boxes.append([x, y, x + 5 * len(word), y + 10])
            x += 5 * len(word) + 4 + (not word) * 8
    order = np.random.default_rng(0).permutation(len(words))
    places, ones = np.array(boxes, np.float32)[order], np.ones(len(words), np.float32)
    return label_page([words[place] for place in order], places, 200 * columns + 100, 400, ones, 4, 4, "top-left")


def seen(text: str) -> str:
    """What is read in this order, as it looks from left to right where every word runs from the right."""
    return " ".join(text.split()[::-1])


@pytest.mark.parametrize(
    ("looks", "read"),
    [
        (seen(HEBREW), HEBREW),
        (seen(ARABIC), ARABIC),
        ("חזר ואז Mary Jane עם 2024 בשנת הלך הילד", "הילד הלך בשנת 2024 עם Mary Jane ואז חזר"),
        ("מעולה Windows 10 עם עובד המחשב", "המחשב עובד עם Windows 10 מעולה"),
        ("כאן End - of 7 , הסוף", "הסוף , End - of 7 כאן"),
        ("7 6 5 מספרים", "מספרים 5 6 7"),
        ("Total   Net   שולם הכל סך הסכום", "הסכום סך הכל שולם Net Total"),
        ("The word عليكم سلام means peace", "The word سلام عليكم means peace"),
        ("Both שתיים 2 אחת were seen", "Both אחת 2 שתיים were seen"),
        ("plain words 1 2 3", "plain words 1 2 3"),
    ],
)
def test_a_line_is_read_as_it_is_written(looks: str, read: str) -> None:
    assert " ".join(labelled([looks]).words) == read


def test_numbers_run_as_the_page_around_them() -> None:
    page = labelled(["2011   2010   2009", "", "", seen(HEBREW), "3.5   2.5   1.5"])
    assert page.words == ["2009", "2010", "2011", *HEBREW.split(), "1.5", "2.5", "3.5"]
    assert labelled(["2009   2010", "", "", "English text"]).words[:2] == ["2009", "2010"]


def test_lines_keep_their_ids() -> None:
    """The same boxes have the same ids whichever way the words run."""
    lines = [seen(HEBREW), "Some English here", seen(ARABIC)]
    page = labelled(lines)
    assert page.words == [*HEBREW.split(), *lines[1].split(), *ARABIC.split()]
    assert page.line_ids.tolist() == [row for row, line in enumerate(lines) for _ in line.split()]
    rights = page.boxes[page.line_ids == 0, 2].astype(int)
    assert (np.diff(rights) < 0).all(), "boxes go with their words"


def test_the_right_column_comes_first_on_a_page_from_the_right() -> None:
    pick = random.Random(1)
    left, right = ([" ".join(pick.choices(HEBREW.split(), k=5)) for _ in range(8)] for _ in range(2))
    page = labelled([*map(seen, left), *map(seen, right)], columns=2)
    assert " ".join(page.words) == " ".join([*right, *left])
    assert page.line_ids.tolist() == [row for row in range(8) for _ in range(5)] * 2


def test_other_pages_are_not_looked_at() -> None:
    assert directions(["Plain", "words"]) is None
    assert directions(["Größe", "東京都", "счастье", "–"]) is None
    assert directions(["one", "אחת"]) is not None


def test_a_pdf_from_the_right() -> None:
    """PyMuPDF has the letters of a word as they are read, however the file places them; so come the words."""
    with pymupdf.open() as pdf:
        pdf.new_page(width=400, height=200).insert_htmlbox((20, 20, 380, 180), f'<p dir="rtl">{HEBREW} 2024.</p>')
        data = pdf.tobytes()
    header, payload = Document(data, "pdf", [], {"max_pages": 10, "max_side": 10_000}).read(0, 400, 80)
    words = header["words"]
    boxes = np.frombuffer(payload[: 16 * len(words)], "<f4").reshape(-1, 4)
    page = label_page(words, boxes, 400, 200, np.ones(len(words), np.float32), 4, 4, "top-left")
    assert " ".join(page.words).replace(" .", ".") == f"{HEBREW} 2024."
