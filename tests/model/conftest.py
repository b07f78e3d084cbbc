"""Fixtures of the model's tests."""

import pytest

from model.tokenizer import WordTokenizer
from tests.model.rows import trained_tokenizer


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> WordTokenizer:
    """A T5 tokenizer trained on generated words, ready for words."""
    return trained_tokenizer(tmp_path_factory.mktemp("vocabulary"))
