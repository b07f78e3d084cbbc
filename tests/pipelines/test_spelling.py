"""Unsure letters are settled by the dictionary on English pages, and on no others."""

from pipelines.ocr.ctc import Letter, without_doubtful_accents
from pipelines.ocr.spelling import Spelling

ENGLISH = ["The", "requirements", "were", "reviewed", "this", "week"]
FRENCH = ["les", "exigences", "furent", "revues", "cette", "semaine", "toujours", "avec"]


def word(text: str, **unsure: str) -> list[Letter]:
    """Letters that the network is sure of, but for the ones named `l3`: the third's (from 0) runner-up is its value."""
    rivals = {int(name[1:]): rival for name, rival in unsure.items()}
    return [
        Letter(letter, float(place), 0.6, rival=rivals[place], rival_probability=0.2)
        if place in rivals
        else Letter(letter, float(place), 1.0)
        for place, letter in enumerate(text)
    ]


def read(page: list[str], *doubtful: list[Letter]) -> list[str]:
    corrected = Spelling().corrected([*map(word, page), *doubtful])
    return ["".join(letter.text for letter in each) for each in corrected][len(page) :]


def test_a_runner_up_that_makes_a_word_is_taken() -> None:
    assert read(ENGLISH, word("reguirements", l2="q"), word("Kinq,", l3="g"), word("(EIBER)", l1="f")) == [
        "requirements",
        "King,",
        "(FIBER)",
    ]


def test_words_names_and_codes_are_left_as_they_are() -> None:
    # In the dictionary already; no word either way; too short; letters and digits.
    doubtful = [word("form", l2="a"), word("Minnemever", l8="y"), word("oi", l1="f"), word("tab1e", l2="d")]
    assert read(ENGLISH, *doubtful) == ["form", "Minnemever", "oi", "tab1e"]


def test_letters_that_the_network_is_sure_of_stay() -> None:
    sure = [Letter(letter, float(place), 0.99, rival="q", rival_probability=0.2) for place, letter in enumerate("regu")]
    assert read(ENGLISH, [*sure, *word("irements")]) == ["reguirements"]


def test_a_page_of_another_language_is_left_alone() -> None:
    assert read(FRENCH, word("reguirements", l2="q")) == ["reguirements"]
    assert Spelling().corrected([]) == []


def test_accents_are_left_out_where_most_are_doubtful() -> None:
    doubtful, sure = Letter("ó", 0.0, 0.5), Letter("é", 1.0, 0.99)
    plain = [[letter.text for letter in each] for each in without_doubtful_accents([[doubtful], [doubtful, sure]])]
    assert plain == [["o"], ["o", "é"]]
    french = [[doubtful, sure], [sure]]
    assert without_doubtful_accents(french) == french
