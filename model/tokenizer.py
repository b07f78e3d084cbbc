"""T5 tokenizers for pages: training a vocabulary, loading one, and sub-words of words that are already split.

The layout is T5's: pad 0, eos 1, unk 2, then the pieces, then 100 sentinels with <extra_id_0> the highest id.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelInputError
from model.hub_name import on_disk_only

SENTINELS = 100
PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
# Where transformers finds no vocabulary it makes one of pad, eos, unk, a blank and the sentinels, without a word.
EMPTY_VOCABULARY = SENTINELS + 4
# SentencePiece trains on at most this many runs of words (a reservoir sample, if there are more).
TRAINING_RUNS = 2_000_000
WORDS_A_RUN = 100
LONGEST_RUN_BYTES = 8192
# A cache this size holds the words of a large corpus's head; beyond it, rare words would only fill memory.
CACHED_WORDS = 200_000

Ints = NDArray[np.int32]


def load_tokenizer(path_or_name: str | Path) -> Any:
    """The `transformers` T5 tokenizer in a local folder (or of a hub name).

    The folder holds `tokenizer.json` or `spiece.model`. Raises ModelInputError where there is no tokenizer, and where
    its special tokens are not laid out as T5's.
    """
    from transformers import T5Tokenizer

    try:
        name = str(path_or_name)
        tokenizer = T5Tokenizer.from_pretrained(name, local_files_only=on_disk_only(name))
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelInputError(
            f"{path_or_name}: no T5 tokenizer could be read there ({reason}); "
            "give a folder with tokenizer.json or spiece.model, or a hub name"
        ) from None
    if len(tokenizer) <= EMPTY_VOCABULARY:
        raise ModelInputError(
            f"{path_or_name}: holds no vocabulary; give a folder with tokenizer.json or spiece.model, or a hub name "
            "that can be reached"
        )
    refuse_other_layout(tokenizer, path_or_name)
    return tokenizer


def refuse_other_layout(tokenizer: Any, name: str | Path) -> None:
    """Raise ModelInputError, with `name` in it, where special tokens are not laid out as T5's."""
    size = len(tokenizer)
    found = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    if found != (PAD_ID, EOS_ID, UNK_ID):
        raise ModelInputError(f"{name}: pad, eos and unk have ids {found}; a T5 vocabulary has 0, 1 and 2")
    ends = tokenizer.convert_tokens_to_ids(["<extra_id_0>", f"<extra_id_{SENTINELS - 1}>"])
    if ends != [size - 1, size - SENTINELS]:
        raise ModelInputError(
            f"{name}: sentinels <extra_id_0> and <extra_id_{SENTINELS - 1}> have ids {ends}; a T5 vocabulary of {size} "
            f"has them at {size - 1} and {size - SENTINELS}, and no tokens added behind them"
        )


def train_tokenizer(pages: Iterable[Sequence[str]], out: str | Path, vocab_size: int = 32_000) -> int:
    """Train a SentencePiece unigram vocabulary on pages' words and write it as a T5 tokenizer.

    Args:
        pages: the words of each page; read once. The same pages in the same order give the same vocabulary.
        out: folder to write `spiece.model`, `tokenizer.json` and `tokenizer_config.json` to; made where absent.
        vocab_size: pieces with pad, eos and unk but without the 100 sentinels, as T5 counts its 32,000. Fewer come out
            where the pages have not enough different text.

    Returns:
        Entries of the tokenizer, sentinels included. Raises ModelInputError when the pages hold no text, or when
        vocab_size is below what their characters need.
    """
    import sentencepiece

    sentencepiece.set_random_generator_seed(1)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_runs(pages),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
            pad_piece="<pad>",
            character_coverage=0.9995,
            input_sentence_size=TRAINING_RUNS,
            max_sentence_length=LONGEST_RUN_BYTES,
            # The pieces' scores are sums over threads: one thread, one result.
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        if "sentences_.empty()" in str(error):
            raise ModelInputError("no vocabulary can be trained: the pages hold no words") from None
        reason = str(error).partition("] ")[2] or str(error)
        raise ModelInputError(
            f"no vocabulary of {vocab_size} pieces can be trained on these pages ({reason}); "
            "give pages with more text, or another vocabulary size"
        ) from None
    return _write_t5_tokenizer(model.getvalue(), Path(out))


def _runs(pages: Iterable[Sequence[str]]) -> Iterator[str]:
    for words in pages:
        for start in range(0, len(words), WORDS_A_RUN):
            run = " ".join(words[start : start + WORDS_A_RUN])
            if len(run.encode()) <= LONGEST_RUN_BYTES:
                yield run
            else:  # words without blanks for kilobytes: nothing to learn from, and SentencePiece would refuse the run
                yield from (word for word in words[start : start + WORDS_A_RUN] if len(word.encode()) <= 256)


def _write_t5_tokenizer(sentencepiece_model: bytes, out: Path) -> int:
    from sentencepiece import sentencepiece_model_pb2
    from transformers import T5Tokenizer

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(sentencepiece_model)
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    vocabulary += [(f"<extra_id_{number}>", 0.0) for number in range(SENTINELS - 1, -1, -1)]
    tokenizer = T5Tokenizer(
        vocab=vocabulary,
        _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap,
        extra_ids=SENTINELS,
        model_max_length=512,
    )
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    (out / "spiece.model").write_bytes(sentencepiece_model)
    return len(tokenizer)


class _PieceCache(dict[str, list[int]]):
    """Sub-word ids of each word, found out when a word is first asked for."""

    def __init__(self, backend: Any, first_sentinel: int) -> None:
        super().__init__()
        self.backend, self.first_sentinel = backend, first_sentinel

    def __missing__(self, word: str) -> list[int]:
        self.backend.encode_special_tokens = True  # `</s>` in a document is text, not the end
        ids = [
            UNK_ID if token in (PAD_ID, EOS_ID) or token >= self.first_sentinel else token
            for token in self.backend.encode(word, add_special_tokens=False).ids
        ]
        if len(self) < CACHED_WORDS:
            self[word] = ids
        return ids

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process starts with an empty cache: sending a full one costs more than filling it.
        return _PieceCache, (self.backend, self.first_sentinel)


class WordTokenizer:
    """Sub-words of a page's words, each with the number of its word.

    The result equals the tokenizer's own on the words joined by blanks, because T5's pieces never cross a blank; that
    makes a cache by word exact. Two rules differ on purpose: text that spells a special token (`</s>`) becomes unk
    instead of that token, so that no document can write a sentinel; and no eos is appended.

    Attributes:
        vocab_size: entries with the sentinels.
        sentinel_ids: int64 [100]; entry k is the id of <extra_id_k>.
        digest: hex sha256 of the tokenizer, for telling two vocabularies apart.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.vocab_size = len(tokenizer)
        self.sentinel_ids = np.arange(self.vocab_size - 1, self.vocab_size - 1 - SENTINELS, -1, dtype=np.int64)
        self.digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        self._pieces = _PieceCache(tokenizer.backend_tokenizer, self.vocab_size - SENTINELS)

    @classmethod
    def load(cls, path_or_name: str | Path) -> "WordTokenizer":
        """The tokenizer of `load_tokenizer`, ready for words."""
        return cls(load_tokenizer(path_or_name))

    def encode_words(self, words: Sequence[str], max_tokens: int | None = None) -> tuple[Ints, Ints]:
        """Sub-word ids of `words`, and for each the index of its word.

        Args:
            words: a page's words in reading order.
            max_tokens: keep only the first this many sub-words (of a long page, no more words are looked at than give
                them).

        Returns:
            ids: int32 [M], no special tokens but unk.
            word_index: int32 [M], not decreasing; a word that normalises to nothing has no entry.
        """
        if max_tokens is not None and len(words) > max_tokens:
            # Almost every word has a sub-word at least, so this many words give enough; else look at all.
            ids, word_index = self.encode_words(words[:max_tokens])
            if len(ids) < max_tokens:
                ids, word_index = self.encode_words(words)
            return ids[:max_tokens], word_index[:max_tokens]
        pieces = list(map(self._pieces.__getitem__, words))
        counts = np.fromiter(map(len, pieces), np.int32, len(pieces))
        ids = np.fromiter(chain.from_iterable(pieces), np.int32, int(counts.sum()))
        word_index = np.repeat(np.arange(len(pieces), dtype=np.int32), counts)
        return ids[:max_tokens], word_index[:max_tokens]
