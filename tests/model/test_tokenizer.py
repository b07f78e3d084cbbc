import pickle
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from model import hub_name
from model.errors import ModelInputError
from model.tokenizer import EOS_ID, PAD_ID, UNK_ID, WordTokenizer, load_tokenizer, train_tokenizer
from tests.model.rows import words_of

# Words as the contract has them: no white space inside, never empty. Text that spells special tokens has its own test.
WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="<▁"), min_size=1).filter(
        lambda word: len(word.split()) == 1
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=WORDS)
def test_words_give_what_the_tokenizer_gives_for_their_text(word_tokenizer: WordTokenizer, words: list[str]) -> None:
    ids, word_index = word_tokenizer.encode_words(words)
    whole = Tokenizer.from_str(word_tokenizer._pieces.backend.to_str())
    whole.encode_special_tokens = True
    assert ids.tolist() == whole.encode(" ".join(words), add_special_tokens=False).ids
    assert (np.diff(word_index) >= 0).all()
    for number, word in enumerate(words):
        assert ids[word_index == number].tolist() == word_tokenizer.encode_words([word])[0].tolist()


def test_equal_to_t5s_tokenizer_on_its_own_vocabulary(shared_data: Path) -> None:
    tokenizer = load_tokenizer(shared_data / "t5-vocab")
    assert len(tokenizer) == 32_100
    words = WordTokenizer(tokenizer)
    assert words.sentinel_ids[[0, 99]].tolist() == [32_099, 32_000]
    sentence = "Total due: 1,250.00 EUR (net) — ﬁnal reminder, see §4.2 of the contract über Lieferung №12 ½ ̈x"
    text = [*sentence.split(), *words_of(200, 1)]
    expected = tokenizer(" ".join(text), add_special_tokens=False).input_ids
    assert words.encode_words(text)[0].tolist() == expected


@pytest.mark.parametrize("word", ["</s>", "<pad>", "<unk>", "<extra_id_0>", "x<extra_id_99>y", "a</s>"])
def test_no_document_writes_a_special_token(word_tokenizer: WordTokenizer, word: str) -> None:
    ids, _ = word_tokenizer.encode_words([word])
    assert UNK_ID in ids
    assert not np.isin(ids, [PAD_ID, EOS_ID, *word_tokenizer.sentinel_ids]).any()


def test_the_layout_is_t5s(tmp_path: Path) -> None:
    size = train_tokenizer([words_of(500, 2)], tmp_path, vocab_size=70)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer) == size == 170
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 70, 169]) == [
        "<pad>",
        "</s>",
        "<unk>",
        "<extra_id_99>",
        "<extra_id_0>",
    ]
    text = "invoice total number"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer(text).input_ids[-1] == EOS_ID


def test_the_folder_loads_as_any_hub_tokenizer_does(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    train_tokenizer([words_of(500, 2)], tmp_path, vocab_size=70)
    text = "payment of the account number 12"
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == load_tokenizer(tmp_path)(text).input_ids


def test_training_is_repeatable(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        train_tokenizer((words_of(300, seed) for seed in range(3)), tmp_path / name, vocab_size=80)
        digests.add(WordTokenizer.load(tmp_path / name).digest)
    train_tokenizer([words_of(300, 9)], tmp_path / "c", vocab_size=80)
    assert len(digests) == 1
    assert WordTokenizer.load(tmp_path / "c").digest not in digests


def test_a_small_corpus_gives_a_smaller_vocabulary(tmp_path: Path) -> None:
    assert train_tokenizer([["invoice", "total"] * 5], tmp_path, vocab_size=32_000) < 200


def test_a_very_long_word_does_not_stop_training(tmp_path: Path) -> None:
    assert train_tokenizer([[*words_of(200, 1), "x" * 20_000]], tmp_path, vocab_size=60) == 160


@pytest.mark.parametrize("pages", [[], [[]]], ids=["no pages", "an empty page"])
def test_pages_without_words_are_refused(pages: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match="no words"):
        train_tokenizer(pages, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_below_the_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match="vocabulary of 5 pieces"):
        train_tokenizer([words_of(100, 0)], tmp_path / "new", vocab_size=5)


@pytest.mark.parametrize("content", [None, "{"], ids=["nothing", "damaged"])
def test_a_folder_without_a_tokenizer_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelInputError) as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_a_hub_name_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ModelInputError, match="holds no vocabulary"):
        load_tokenizer("nobody/nothing")


def test_tokens_are_cut_where_asked_and_words_without_tokens_do_not_count(word_tokenizer: WordTokenizer) -> None:
    words = words_of(100, 4)
    ids, word_index = word_tokenizer.encode_words(words)
    cut = word_tokenizer.encode_words(words, 20)
    assert cut[0].tolist() == ids[:20].tolist()
    assert cut[1].tolist() == word_index[:20].tolist()
    silent = word_tokenizer.encode_words(["\u200b"] * 50 + words, 20)
    assert silent[0].tolist() == ids[:20].tolist()
    assert silent[1].tolist() == (word_index[:20] + 50).tolist()


def test_it_travels_to_a_worker_process_without_its_cache(word_tokenizer: WordTokenizer) -> None:
    words = words_of(2_000, 5)
    before = word_tokenizer.encode_words(words)[0]
    bytes_sent = pickle.dumps(word_tokenizer)
    copy = pickle.loads(bytes_sent)
    assert copy.encode_words(words)[0].tolist() == before.tolist()
    assert len(bytes_sent) < 1_000_000


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library would ask again for minutes, for one file after the other."""
    asked = []

    def refused(self: httpx.Client, url: str, **_: object) -> None:
        asked.append(url)
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: pytest.fail("asked again"))
    monkeypatch.setattr(httpx.Client, "head", refused)
    hub_name._hub_answers.cache_clear()
    try:
        with pytest.raises(ModelInputError, match="tokk: "):
            load_tokenizer("tokk")
        assert len(asked) == 1
    finally:
        hub_name._hub_answers.cache_clear()
