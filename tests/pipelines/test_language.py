"""The language of a page: py3langid's scores, bit for bit."""

import numpy as np
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipelines.labels.language import identifier, identify
from pipelines.labels.languages import NAMES, UNKNOWN, refusal

TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog and runs to the river, where it rests.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund und läuft zum Fluß, wo er ruht.",
    "ja": "素早い茶色の狐はのろまな犬を飛び越えて川まで走り、そこで休みます。",
    "ar": "الثعلب البني السريع يقفز فوق الكلب الكسول ويجري إلى النهر حيث يستريح.",
}


@pytest.fixture(scope="module")
def plain() -> LanguageIdentifier:
    found = LanguageIdentifier.from_model_file(MODEL_FILE)
    found.set_languages([code for code in found.labels if len(code) == 2])
    return found


@pytest.mark.parametrize("text", [*TEXTS.values(), " ".join(TEXTS.values()), "", "a", "ab", "12 34.5", "\x00\x01"])
def test_the_scores_are_the_librarys(text: str, plain: LanguageIdentifier) -> None:
    assert np.array_equal(identifier()._decide(text), plain._decide(text))
    assert identifier().classify(text) == plain.classify(text)


def test_a_page_has_the_language_of_its_words() -> None:
    assert {name: identify(text.split()) for name, text in TEXTS.items()} == {name: name for name in TEXTS}
    assert identify(["1,234.00", "€"] * 50) == ""
    assert identify(["nineteen", "letters", "here"]) == ""


def test_the_languages_that_can_be_asked_for_are_those_that_can_be_told() -> None:
    assert NAMES.keys() - {UNKNOWN} == {code for code in identifier().labels if len(code) == 2}


@pytest.mark.parametrize(
    ("given", "says"),
    [("english", "did you mean 'en' (English)?"), ("en-US", "'en'"), ("germn", "'de'"), ("xyzzy", "two-letter codes")],
)
def test_another_is_refused_with_the_nearest(given: str, says: str) -> None:
    assert says in refusal(given)
    assert refusal("DE") == refusal("und") == ""
