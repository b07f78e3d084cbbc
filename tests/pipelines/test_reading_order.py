"""Columns of text are read one after the other and tables row by row; what lies sideways is read by itself."""

from itertools import chain

import numpy as np
import pytest

from pipelines.labels.page_labels import LabelledPage, label_page

WORD, HEIGHT, PITCH = 20.0, 10.0, 14.0
PROSE = "many words of text that run on and on"


def placed(cells: list[tuple[float, float, str]], sideways: int = 0) -> LabelledPage:
    """A page of cells, each with the place of its first word; the words come in any order.

    Sideways, the page is turned with all that is on it.
    """
    words, boxes = [], []
    for x, y, text in cells:
        for number, word in enumerate(text.split()):
            left = x + number * (WORD + 4)
            words.append(word)
            boxes.append((left, y, left + WORD, y + HEIGHT))
    places = np.array(boxes, np.float32)
    if sideways:
        x0, y0, x1, y1 = places.T
        turned = [900 - y1, x0, 900 - y0, x1] if sideways > 0 else [y0, 900 - x1, y1, 900 - x0]
        places = np.stack(turned, axis=1)
    order = np.random.default_rng(0).permutation(len(words))
    shuffled, ones = [words[place] for place in order], np.ones(len(words), np.float32)
    return label_page(shuffled, places[order], 900, 900, ones, 4, 4, "top-left", np.full(len(words), sideways, np.int8))


def rows(columns: list[tuple[float, str]], count: int = 8) -> list[list[tuple[float, float, str]]]:
    """Rows of cells; each word has the number of its row."""
    return [
        [(x, 100 + row * PITCH, " ".join(f"{word}{row}" for word in text.split())) for x, text in columns]
        for row in range(count)
    ]


def read(cells: list[tuple[float, float, str]]) -> str:
    return " ".join(text for _, _, text in cells)


@pytest.mark.parametrize("gap", [24, 60])
def test_a_table_is_read_row_by_row(gap: float) -> None:
    """Also where each half of it has several words in a row."""
    texts = ["date", "first name", "sum", "left over", "who"]
    lefts = np.cumsum([50, *(len(text.split()) * (WORD + 4) - 4 + gap for text in texts[:-1])]).tolist()
    cells = list(chain(*rows(list(zip(lefts, texts, strict=True)))))
    assert " ".join(placed(cells).words) == read(cells)


@pytest.mark.parametrize("right", ["an entry 12", PROSE])
@pytest.mark.parametrize("left", ["an entry 12", PROSE])
def test_columns_are_read_one_after_the_other(left: str, right: str) -> None:
    table = rows([(50, left), (500, right)])
    columns = [row[0] for row in table] + [row[1] for row in table]
    assert " ".join(placed(list(chain(*table))).words) == read(columns)


def test_a_table_beside_text_is_a_column() -> None:
    table = rows([(50, PROSE), (500, "what it"), (620, "is")])
    columns = [row[0] for row in table] + [cell for row in table for cell in row[1:]]
    assert " ".join(placed(list(chain(*table))).words) == read(columns)


@pytest.mark.parametrize("sideways", [1, -1])
def test_a_page_on_its_side_has_the_lines_of_its_text(sideways: int) -> None:
    cells = list(chain(*rows([(50, PROSE)])))
    page, level = placed(cells, sideways), placed(cells)
    assert page.words == level.words == read(cells).split()
    assert np.array_equal(page.line_ids, level.line_ids)


@pytest.mark.parametrize("sideways", [1, -1])
def test_sideways_words_are_read_after_the_others_in_their_own_order(sideways: int) -> None:
    text = read(list(chain(*rows([(100, PROSE)])))).split()
    note = ["how", "many", "there", "are"]
    level = [(100 + column * 24, 100 + row * PITCH) for row in range(8) for column in range(len(PROSE.split()))]
    boxes = [(x, y, x + WORD, y + HEIGHT) for x, y in level]
    for number in range(len(note)):
        y = 100 + (number if sideways > 0 else len(note) - 1 - number) * 24
        boxes.append((84, y, 94, y + WORD))
    runs = np.array([0] * len(text) + [sideways] * len(note), np.int8)
    ones = np.ones(len(runs), np.float32)
    places = np.array(boxes, np.float32)
    page = label_page([*text, *note], places, 900, 900, ones, 4, 4, "top-left", runs)
    assert page.words == [*text, *note]
    assert page.line_ids[: len(text)].tolist() == [row for row in range(8) for _ in PROSE.split()]


@pytest.mark.parametrize("tall", [17.0, 27.0])
def test_a_mark_as_high_as_two_lines_ties_no_lines_together(tall: float) -> None:
    """Boxes as high as their font, which overlap those of the next line a little."""
    lines = [[(60 + column * 24, 100 + row * PITCH, f"w{row}") for column in range(6)] for row in range(6)]
    boxes = [(x, y, x + WORD, y + PITCH + 3) for x, y, _ in chain(*lines)] + [
        (40.0, 101 + PITCH, 46.0, 101 + PITCH + tall)
    ]
    words = [word for _, _, word in chain(*lines)] + ["•"]
    page = label_page(words, np.array(boxes, np.float32), 900, 900, np.ones(len(words), np.float32), 4, 4, "top-left")
    for line in set(page.line_ids.tolist()):
        on_line = {word for word, number in zip(page.words, page.line_ids, strict=True) if number == line}
        assert len(on_line - {"•"}) <= 1


@pytest.mark.parametrize("small", [0, 60])
def test_text_of_another_size_changes_nothing_about_marks(small: int) -> None:
    """With much small print on the page the text itself is taller than most words."""
    text = [(60.0 + column * 24, 100 + row * 11.0, f"w{row}") for row in range(4) for column in range(6)]
    boxes = [(x, y, x + WORD, y + 9) for x, y, _ in text] + [(500.0, 95.0, 510.0, 145.0)]
    boxes += [
        (60.0 + column * 24, 300 + row * 8.0, 80.0 + column * 24, 306 + row * 8.0)
        for row in range(small // 6)
        for column in range(6)
    ]
    words = [word for _, _, word in text] + ["Margin"] + ["print"] * small
    page = label_page(words, np.array(boxes, np.float32), 900, 900, np.ones(len(words), np.float32), 4, 4, "top-left")
    lines = {(word, line) for word, line in zip(page.words, page.line_ids.tolist(), strict=True) if word[0] == "w"}
    assert sorted(lines) == sorted((f"w{row}", line) for row, line in enumerate(sorted({line for _, line in lines})))
