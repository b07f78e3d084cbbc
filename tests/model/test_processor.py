import copy
import io
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pymupdf
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor

from model import DocFormerV2Processor
from model.errors import ModelInputError
from model.tokenizer import WordTokenizer, load_tokenizer, train_tokenizer
from tests.model.pages import small_model

WORDS = ["Invoice", "number", "4711", "total", "due", "1,250.00", "EUR"]
BOXES = [[10 * k, 20, 10 * k + 9, 40] for k in range(len(WORDS))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([WORDS * 3, ["what", "is", "the", "total", "?"] * 5], folder, vocab_size=60)
    return load_tokenizer(folder)


@pytest.fixture
def processor(tokenizer: Any) -> DocFormerV2Processor:
    return DocFormerV2Processor(tokenizer, image_height=32, image_width=24, max_text_tokens=64)


def picture(width: int = 60, height: int = 90) -> Image.Image:
    return Image.effect_noise((width, height), 90).convert("RGB")


def test_each_sub_word_has_its_words_box_and_the_question_comes_last(processor: DocFormerV2Processor) -> None:
    batch = processor(images=picture(), words=WORDS, boxes=BOXES, questions="what is the total ?")
    text = processor.tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True)
    assert text.startswith("Invoice number 4711")
    assert text.endswith("what is the total ?")
    assert batch["input_ids"][0, -1] == 1
    boxes = batch["bbox"][0].tolist()
    seen = [box for box, before in zip(boxes, [None, *boxes], strict=False) if box != before]
    assert seen == [*BOXES, [0, 0, 0, 0]]
    assert batch["pixel_values"].shape == (1, 3, 32, 24)
    assert batch["pixel_values"].dtype == torch.uint8


def test_pages_of_a_batch_are_those_pages_alone(processor: DocFormerV2Processor) -> None:
    pictures = [picture(), picture(40, 40)]
    batch = processor(images=pictures, words=[WORDS, WORDS[:2]], boxes=[BOXES, BOXES[:2]], questions=["total", "due ?"])
    alone = processor(images=pictures[1], words=WORDS[:2], boxes=BOXES[:2], questions="due ?")
    length = alone["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][1, :length], alone["input_ids"][0])
    assert torch.equal(batch["bbox"][1, :length], alone["bbox"][0])
    assert batch["attention_mask"][1].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
    assert torch.equal(batch["pixel_values"][1], alone["pixel_values"][0])


def test_picture_may_come_as_pil_array_bytes_or_path(processor: DocFormerV2Processor, tmp_path: Path) -> None:
    page = picture()
    page.save(tmp_path / "page.png")
    encoded = io.BytesIO()
    page.save(encoded, "PNG")
    forms = [page, np.asarray(page), encoded.getvalue(), tmp_path / "page.png", str(tmp_path / "page.png")]
    pixels = processor(images=forms)["pixel_values"]
    assert all(torch.equal(pixels[0], other) for other in pixels)


@pytest.mark.parametrize("kind", ["transparent", "16 bits"])
def test_a_picture_is_the_one_that_a_corpus_has_of_the_file(
    processor: DocFormerV2Processor, kind: str, tmp_path: Path
) -> None:
    """Transparent is white, and 16 bits of grey are scaled, as PyMuPDF draws both."""
    file = tmp_path / "picture.png"
    if kind == "transparent":
        picture = Image.new("RGBA", (60, 80), (0, 0, 0, 0))
        picture.paste((200, 30, 30, 255), (10, 10, 40, 40))
        picture.save(file)
    else:
        Image.fromarray(np.linspace(0, 65535, 60 * 80).reshape(80, 60).astype(np.uint16)).save(file)
    with pymupdf.open(file) as document:
        drawn = document[0].get_pixmap(alpha=False)
        theirs = Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)
    wanted, got = (processor(images=picture)["pixel_values"].float() for picture in (theirs, file))
    assert (wanted - got).abs().mean() < 2
    assert got.max() - got.min() > 100


def test_words_are_read_by_the_given_ocr(processor: DocFormerV2Processor) -> None:
    sizes = []

    def ocr(image: Image.Image) -> tuple[list[str], list[list[int]]]:
        sizes.append(image.size)
        return WORDS, BOXES

    read = processor(images=picture(), ocr=ocr)
    assert sizes == [(60, 90)]
    assert torch.equal(read["input_ids"], processor(words=WORDS, boxes=BOXES)["input_ids"])


def test_long_page_keeps_its_first_words_and_the_whole_question(processor: DocFormerV2Processor) -> None:
    batch = processor(words=WORDS * 50, boxes=BOXES * 50, questions="what is the total ?")
    assert batch["input_ids"].shape[1] == 64
    assert processor.tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True).endswith("what is the total ?")


def test_a_page_without_text_and_a_mode_one_picture_still_answer(processor: DocFormerV2Processor) -> None:
    model = small_model(vocab_size=len(processor.tokenizer) + 3)
    for page in (picture(), Image.new("1", (50, 50)), Image.new("RGBA", (3000, 20))):
        for batch in (processor(images=page), processor(images=page, questions="total ?")):
            answers = processor.batch_decode(model.generate(**batch, max_new_tokens=3))
            assert len(answers) == 1


class DrawsItself:
    """What a PDF library's page looks like from here."""

    def get_pixmap(self, dpi: int, alpha: bool) -> Any:
        assert (dpi, alpha) == (150, False)
        return SimpleNamespace(width=30, height=40, samples=bytes([7]) * (30 * 40 * 3))


def test_a_pdf_page_is_drawn_and_read_by_the_ocr(processor: DocFormerV2Processor) -> None:
    read = processor(images=DrawsItself(), ocr=lambda image: (WORDS[: image.width // 10], BOXES[:3]))
    assert (read["pixel_values"] == 7).all()
    assert torch.equal(read["input_ids"], processor(words=WORDS[:3], boxes=BOXES[:3])["input_ids"])


def test_a_real_pdf_page_is_taken(processor: DocFormerV2Processor) -> None:
    pymupdf = pytest.importorskip("pymupdf")
    page = pymupdf.open().new_page(width=100, height=200)
    assert (processor(images=page)["pixel_values"] == 255).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(pieces=st.lists(st.integers(0, 40), max_size=60), room=st.integers(0, 30), overlap=st.integers(0, 40))
def test_windows_hold_every_word_and_fit(tokenizer: Any, pieces: list[int], room: int, overlap: int) -> None:
    words = ["\u200b" if count == 0 else "4711" * count for count in pieces]
    processor = DocFormerV2Processor(tokenizer, max_text_tokens=room + 1)
    ranges = processor.windows(words, None, overlap)
    tokens = [len(WordTokenizer(tokenizer).encode_words([word])[0]) for word in words]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(words)
    for first, last in ranges:
        assert last - first == min(1, len(words)) or sum(tokens[first:last]) <= room
    for (first, last), (following, after) in pairwise(ranges):
        assert first < following <= last < after
        assert sum(tokens[following:last]) <= overlap


def test_a_page_that_just_fits_is_one_window_and_a_large_overlap_leaves_few(tokenizer: Any) -> None:
    words, tokens = ["4711"] * 60, len(WordTokenizer(tokenizer).encode_words(["4711"] * 60)[0])
    whole = DocFormerV2Processor(tokenizer, max_text_tokens=tokens + 1)
    assert whole.windows(words) == [(0, 60)]
    shorter = DocFormerV2Processor(tokenizer, max_text_tokens=tokens)
    assert [last for _, last in shorter.windows(words)] == [59, 60]
    narrow = DocFormerV2Processor(tokenizer, max_text_tokens=tokens // 6 + 1)
    assert len(narrow.windows(words, overlap_tokens=1000)) <= 12, "half of a window is new at least"


def test_boxes_without_extent_are_taken(processor: DocFormerV2Processor) -> None:
    boxes = [[0, 0, 0, 0], [1000, 1000, 1000, 1000], [5, 7, 5, 9], *BOXES[3:]]
    assert processor(words=WORDS, boxes=boxes)["bbox"].max() == 1000


def test_the_processor_of_a_model_fits_its_vocabulary(tokenizer: Any) -> None:
    entries = len(tokenizer)
    assert DocFormerV2Processor.for_model(small_model(vocab_size=entries).config, tokenizer).tokenizer is tokenizer
    with pytest.raises(ModelInputError, match="use the model's own"):
        DocFormerV2Processor.for_model(small_model(vocab_size=entries - 1).config, tokenizer)


def test_saved_processor_comes_back_the_same(processor: DocFormerV2Processor, tmp_path: Path) -> None:
    small_model(vocab_size=len(processor.tokenizer)).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    wanted = processor(images=np.zeros((9, 9, 3), np.uint8), words=WORDS, boxes=BOXES)
    for again in (DocFormerV2Processor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        got = again(images=np.zeros((9, 9, 3), np.uint8), words=WORDS, boxes=BOXES)
        assert all(torch.equal(wanted[name], got[name]) for name in wanted)
        assert again.max_text_tokens == 64


def test_a_processor_may_be_loaded_for_longer_pages(processor: DocFormerV2Processor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    longer = DocFormerV2Processor.from_pretrained(tmp_path, max_text_tokens=80)
    assert (longer.max_text_tokens, longer.image_height) == (80, 32)


def test_special_tokens_are_shown_where_asked(processor: DocFormerV2Processor) -> None:
    tokens = processor.tokenizer("total").input_ids
    assert processor.batch_decode([tokens, tokens], skip_special_tokens=True) == ["total", "total"]
    assert processor.batch_decode([tokens], skip_special_tokens=False) == ["total</s>"]


def test_added_tokens_are_refused_and_not_read_as_unknown(tokenizer: Any, tmp_path: Path) -> None:
    grown = copy.deepcopy(tokenizer)
    processor = DocFormerV2Processor(grown)
    grown.add_tokens(["<field>"])
    with pytest.raises(ModelInputError, match="no tokens added behind them"):
        processor.save_pretrained(tmp_path / "processor")
    assert not (tmp_path / "processor").exists()
    with pytest.raises(ModelInputError, match="no tokens added behind them"):
        DocFormerV2Processor(grown)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"words": WORDS}, "words without boxes"),
        ({"words": WORDS, "boxes": BOXES[:-1]}, "7 words and 6 boxes"),
        ({"words": WORDS, "boxes": [[0, 0, 1200, 5]] * 7}, "scale them to 0..1000"),
        ({"words": [], "boxes": [], "questions": "total " * 100}, "shorten it"),
        ({"words": WORDS, "boxes": np.array(BOXES) / 1000}, "scale them by 1000"),
        ({"words": WORDS, "boxes": [[0, 0, 1000.9, 5]] * 7}, "scale them to 0..1000"),
        ({"words": WORDS, "boxes": [[-1, 0, 9, 5]] * 7}, "scale them to 0..1000"),
        ({"words": WORDS, "boxes": [[0, 0, float("nan"), 5]] * 7}, "scale them to 0..1000"),
        ({"words": WORDS, "boxes": [[0, 0, 9, 0, 9, 5, 0, 5]] * 7}, "x0, y0, x1, y1 for each word"),
        ({"words": WORDS, "boxes": [[0, 0, 5]] * 6 + [[0, 0]]}, "x0, y0, x1, y1"),
        ({"words": WORDS, "boxes": [[500, 0, 10, 5]] * 7}, "x0 <= x1"),
        ({"words": ["total", None], "boxes": BOXES[:2]}, "no text"),
        ({"images": []}, "images is empty"),
        ({"images": np.zeros((9, 9, 3), np.uint8), "ocr": lambda picture: None}, "ocr gave NoneType"),
        ({"images": b"no picture"}, "cannot be read"),
        ({"images": 7}, "give PIL"),
        ({"words": [WORDS, WORDS], "boxes": [BOXES, BOXES], "questions": ["one"]}, "one for each page"),
    ],
)
def test_bad_pages_are_refused_in_one_line(processor: DocFormerV2Processor, page: Any, message: str) -> None:
    with pytest.raises(ModelInputError, match=message) as error:
        processor(**page)
    assert "\n" not in str(error.value)


def test_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match="save_pretrained"):
        DocFormerV2Processor.from_pretrained(tmp_path)
