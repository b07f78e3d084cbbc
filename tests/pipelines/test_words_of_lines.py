"""The words of a line from its letters, the network's spaces and the blanks between the ink."""

import numpy as np
import pytest

from pipelines.ocr.ctc import Letter, in_its_company
from pipelines.ocr.rapid import place_words

HEIGHT, WIDE = 20, 10  # of the line, and of each letter's ink, pixels


def line(text: str, blanks: list[int], space: float = 0.1) -> tuple[list[Letter], np.ndarray]:
    """The letters of `text` (spaces are only the network's) and their ink with so many blank pixels before each.

    After each letter the network gave a space the probability `space`.
    """
    letters, at = [], 0
    columns: list[int] = []
    for letter in text:
        if letter == " ":
            letters.append(Letter(" ", float(at), 0.9))
            continue
        blank = blanks[sum(not each.text.isspace() for each in letters)]
        columns += [0] * blank + [1] * WIDE
        at = len(columns)
        letters.append(Letter(letter, at - WIDE / 2, 0.9, space))
    return letters, np.tile(np.array(columns, np.uint8), (HEIGHT, 1))


def words(text: str, blanks: list[int], space: float = 0.1) -> list[str]:
    letters, ink = line(text, blanks, space)
    return ["".join(letter.text for letter in word) for word, _ in place_words(letters, ink, 1.0)]


def test_a_wide_blank_parts_words_where_the_network_gave_no_space() -> None:
    assert words("usedby", [0, 2, 2, 2, 9, 2]) == ["used", "by"]
    assert words("used by", [0, 2, 2, 2, 5, 2]) == ["used", "by"]
    assert words("usedby", [0, 2, 2, 2, 9, 2], space=0.001) == ["usedby"]


@pytest.mark.parametrize("blank", [2, 7, 9])
def test_letters_set_apart_stay_one_word(blank: int) -> None:
    assert words("PRESS QUERY", [0, *[blank] * 4, 3 * blank, *[blank] * 4]) == ["PRESS", "QUERY"]
    assert words("PRESSQUERY", [0, *[blank] * 4, 3 * blank + 2, *[blank] * 4]) == ["PRESS", "QUERY"]


def test_boxes_are_around_the_ink_of_their_word() -> None:
    letters, ink = line("ab c", [3, 2, 10])
    boxes = [box for _, box in place_words(letters, ink, 1.0)]
    assert boxes == [(3.0, 0.0, 25.0, 20.0), (35.0, 0.0, 45.0, 20.0)]


def test_no_letters_no_words() -> None:
    assert words("", []) == []
    assert words("  ", []) == []


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        *(("2OO", "200"), ("$3,OOO.o0", "$3,000.00"), ("(1O)", "(10)")),
        *(("N0V", "NOV"), ("0'Conner", "O'Conner"), ("0ffice", "Office"), ("t0tal", "total")),
        *(("ATXO2", "ATXO2"), ("O", "O"), ("0.0", "0.0"), ("OO", "OO"), ("D0CO1", "D0CO1")),
        *(("SPEC1F1CAT1ONS", "SPECIFICATIONS"), ("bu1let", "bullet"), ("B1B", "B1B"), ("Table1", "Table1")),
        *(("1st", "1st"), ("ab1c2", "ab1c2")),
    ],
)
def test_zeros_and_ones_follow_their_company(seen: str, read: str) -> None:
    assert "".join(letter.text for letter in in_its_company([Letter(each, 0.0, 0.9) for each in seen])) == read
