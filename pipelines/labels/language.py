"""The language of a page, from its first words (py3langid, whose model is in its wheel: no download)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

# More text is slower and no better: of 495 pages in 27 languages 87 % are right with 1,000 characters and with 2,000.
CHARACTERS = 1000
MIN_LETTERS = 20


def identify(words: Sequence[str]) -> str:
    """BCP-47 code of the language of `words`, one of those with a two-letter code; empty under 20 letters."""
    text = ""
    for word in words:
        text += word + " "
        if len(text) >= CHARACTERS:
            break
    if sum(letter.isalpha() for letter in text) < MIN_LETTERS:
        return ""
    return str(_identifier().classify(text[:CHARACTERS])[0])


@cache
def _identifier() -> Any:
    """Loaded once a process, 0.8 s; a language without a two-letter code is guessed wrong more often than right."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages([str(code) for code in identifier.labels if len(code) == 2])
    return identifier
