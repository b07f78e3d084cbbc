from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.answers import Page, _generate, answer
from model.errors import ModelInputError
from model.processor import DocFormerV2Processor
from model.tokenizer import load_tokenizer, train_tokenizer
from tests.model.pages import small_model
from tests.model.rows import words_of


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> DocFormerV2Processor:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([words_of(300, 1), ["what", "is", "the", "total", "?"] * 5], folder, vocab_size=80)
    return DocFormerV2Processor(load_tokenizer(folder), 32, 24, max_text_tokens=40)


def pages(count: int, words: int) -> list[Page]:
    noise = np.random.default_rng(0)
    return [
        Page(
            Image.fromarray(noise.integers(0, 256, (90, 60), np.uint8)),
            words_of(words, seed),
            [[place, seed, place + 9, seed + 9] for place in range(words)],
        )
        for seed in range(count)
    ]


def model_for(processor: DocFormerV2Processor) -> Any:
    return small_model(3, vocab_size=len(processor.tokenizer), tie_word_embeddings=False, initializer_factor=1.5)


def test_the_surest_page_answers_however_the_pages_are_batched(processor: DocFormerV2Processor) -> None:
    model, document = model_for(processor), pages(4, 9)
    alone = [answer(model, processor, [page], "what is the total ?", max_new_tokens=6) for page in document]
    surest = max(range(4), key=lambda number: alone[number].score)
    for at_once in (1, 3, 8):
        whole = answer(model, processor, document, "what is the total ?", max_new_tokens=6, windows_at_once=at_once)
        assert (whole.text, whole.page) == (alone[surest].text, surest)
        assert whole.score == pytest.approx(alone[surest].score, abs=1e-4)
    assert all(one.score < 0 for one in alone)


def test_a_score_is_the_mean_over_the_answers_own_tokens(processor: DocFormerV2Processor) -> None:
    """Also where other answers of the batch go on."""
    model, document = model_for(processor), pages(3, 9)
    texts = {"words": [page.words for page in document], "boxes": [page.boxes for page in document]}
    inputs = processor(images=[page.picture for page in document], questions="total ?", **texts)
    first = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    # Some answers end with a token that others never come to.
    model.generation_config.eos_token_id = next(
        token for token in first[:, 1:-1].unique().tolist() if not (first == token).any(1).all()
    )
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    lengths = [int((row != 0).sum()) for row in tokens[:, 1:]]
    assert min(lengths) < max(lengths)
    with torch.no_grad():
        scores = model(**inputs, decoder_input_ids=tokens[:, :-1]).logits.log_softmax(-1)
    each = scores.gather(2, tokens[:, 1:, None])[..., 0]
    wanted = [float(row[:length].mean()) for row, length in zip(each, lengths, strict=True)]
    found = [score for _, score in _generate(model, processor, inputs, 6)]
    assert found == pytest.approx(wanted, abs=1e-4)


def test_every_window_of_a_long_page_is_asked(processor: DocFormerV2Processor) -> None:
    model, page = model_for(processor), pages(1, 120)[0]
    ranges = processor.windows(page.words, "what is the total ?")
    assert len(ranges) > 4
    parts = [Page(page.picture, page.words[first:last], page.boxes[first:last]) for first, last in ranges]
    whole = answer(model, processor, [page], "what is the total ?", max_new_tokens=5)
    windows = answer(model, processor, parts, "what is the total ?", max_new_tokens=5)
    assert (whole.text, whole.page) == (windows.text, 0)
    assert whole.score == pytest.approx(windows.score, abs=1e-4)


def test_a_page_without_text_answers(processor: DocFormerV2Processor) -> None:
    found = answer(model_for(processor), processor, [Page(Image.new("1", (50, 70)))], "total ?", max_new_tokens=3)
    assert found.page == 0
    assert torch.isfinite(torch.tensor(found.score))


def test_no_pages_are_refused(processor: DocFormerV2Processor) -> None:
    with pytest.raises(ModelInputError, match="at least one page"):
        answer(model_for(processor), processor, [], "total ?")
