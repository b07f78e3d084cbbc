"""From a page (picture, words, boxes, question) to the model's inputs, and from generated tokens back to text."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoProcessor, BatchFeature

from model.config import DocFormerV2Config
from model.errors import ModelInputError
from model.picture import Picture, open_picture
from model.tokenizer import EOS_ID, PAD_ID, WordTokenizer, load_tokenizer, refuse_other_layout

FILE_NAME = "processor_config.json"

# Reads a picture: words, and for each its x0, y0, x1, y1 in 0..1000 of the picture.
Ocr = Callable[[Image.Image], tuple[Sequence[str], Sequence[Sequence[int]]]]


class DocFormerV2Processor:
    """Prepares pages for `DocFormerV2ForConditionalGeneration` and decodes what it generates.

    Attributes:
        tokenizer: the `transformers` T5 tokenizer.
        image_height, image_width: picture size in pixels; a page is stretched to it, as in pretraining.
        max_text_tokens: text positions a page may take, question and end token included.

    Raises:
        ModelInputError: a tokenizer that is not laid out as T5's, or has tokens added to it.
    """

    def __init__(
        self, tokenizer: Any, image_height: int = 512, image_width: int = 384, max_text_tokens: int = 512
    ) -> None:
        refuse_other_layout(tokenizer, "tokenizer")
        self.tokenizer = tokenizer
        self.image_height, self.image_width, self.max_text_tokens = image_height, image_width, max_text_tokens
        self._words = WordTokenizer(tokenizer)

    @classmethod
    def for_model(cls, config: DocFormerV2Config, tokenizer: Any, max_text_tokens: int = 512) -> "DocFormerV2Processor":
        """The processor that fits a model's configuration.

        Raises:
            ModelInputError: the tokenizer has ids that the model has no embedding for.
        """
        if len(tokenizer) > config.vocab_size:
            raise ModelInputError(
                f"the tokenizer has {len(tokenizer)} entries and the model {config.vocab_size}: use the model's own"
            )
        return cls(tokenizer, config.image_height, config.image_width, max_text_tokens)

    @classmethod
    def from_pretrained(cls, path_or_name: str | Path, **options: Any) -> "DocFormerV2Processor":
        """The processor saved in a local folder, or in a hub model; `options` may hold sizes other than the saved ones.

        Raises:
            ModelInputError: no tokenizer or no processor file there.
        """
        path = Path(path_or_name) / FILE_NAME
        if not path.is_file():
            if Path(path_or_name).is_dir():
                raise ModelInputError(f"{path_or_name}: holds no {FILE_NAME}; give a folder that save_pretrained wrote")
            path = _download(str(path_or_name))
        try:
            fields = json.loads(path.read_text())
            sizes = {
                name: int(options.get(name, fields[name]))
                for name in ("image_height", "image_width", "max_text_tokens")
            }
        except KeyError as error:
            raise ModelInputError(f"{path}: has no {error.args[0]!r}; it is not a DocFormerV2 processor") from None
        except (TypeError, ValueError) as error:
            raise ModelInputError(f"{path}: is no processor's file ({error}); export the model again") from None
        return cls(load_tokenizer(path_or_name), **sizes)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the tokenizer and the picture settings to `folder`, which is made where absent.

        Raises:
            ModelInputError: tokens were added to the tokenizer: the folder could not be read.
        """
        refuse_other_layout(self.tokenizer, "tokenizer")
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(str(folder))
        fields = {
            "processor_class": type(self).__name__,
            "image_height": self.image_height,
            "image_width": self.image_width,
            "max_text_tokens": self.max_text_tokens,
        }
        (Path(folder) / FILE_NAME).write_text(json.dumps(fields, indent=2) + "\n")

    def __call__(
        self,
        images: Picture | list[Picture] | None = None,
        words: Sequence[str] | Sequence[Sequence[str]] | None = None,
        boxes: Any = None,
        questions: str | Sequence[str] | None = None,
        ocr: Ocr | None = None,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Inputs of the model for one page or a list of pages.

        Args:
            images: a picture (or one a page), or None for text alone.
            words: words of the page in reading order (or a list a page); None reads them with `ocr`, and without
                `ocr` the page has no text but the question.
            boxes: for each word x0, y0, x1, y1 in 0..1000 of the page's width and height, origin at the top left.
            questions: a question or prompt for the page (or one a page); it stands after the page's text.
            ocr: reads a picture whose words are not given.
            return_tensors: "pt" only.

        Returns:
            input_ids, attention_mask int64 [B, S], bbox int64 [B, S, 4], pixel_values uint8 [B, 3, rows, columns]
            where there are pictures. A long page keeps its first words; the question is always kept whole.

        Raises:
            ModelInputError: words without boxes, boxes that are none or outside 0..1000, an unreadable picture, too
                long a question.
        """
        if return_tensors != "pt":
            raise ModelInputError(f"return_tensors is {return_tensors!r}: only 'pt' is known")
        if isinstance(images, list) and not images:
            raise ModelInputError("images is empty: give a picture for each page, or None for text alone")
        pictures = (
            None if images is None else [open_picture(p) for p in (images if isinstance(images, list) else [images])]
        )
        pages = self._pages(pictures, words, boxes, ocr)
        asked = [questions] * len(pages) if questions is None or isinstance(questions, str) else list(questions)
        if len(asked) != len(pages) or (pictures is not None and len(pictures) != len(pages)):
            raise ModelInputError(
                f"{len(pages)} pages, {len(asked)} questions, {len(pictures or [])} pictures: give one for each page"
            )
        rows = [self._encode(page, question) for page, question in zip(pages, asked, strict=True)]
        length = max(len(ids) for ids, _ in rows)
        batch = {
            "input_ids": torch.full((len(rows), length), PAD_ID, dtype=torch.long),
            "attention_mask": torch.zeros(len(rows), length, dtype=torch.long),
            "bbox": torch.zeros(len(rows), length, 4, dtype=torch.long),
        }
        for number, (ids, bbox) in enumerate(rows):
            batch["input_ids"][number, : len(ids)] = torch.from_numpy(ids)
            batch["attention_mask"][number, : len(ids)] = 1
            batch["bbox"][number, : len(ids)] = torch.from_numpy(bbox)
        if pictures is not None:
            batch["pixel_values"] = torch.from_numpy(np.stack([self._pixels(picture) for picture in pictures]))
        return BatchFeature(batch)

    def windows(
        self, words: Sequence[str], question: str | None = None, overlap_tokens: int = 64
    ) -> list[tuple[int, int]]:
        """Ranges first..last of `words` that each fit the text positions beside the question, in order.

        Together they hold all words; neighbours share the words of about `overlap_tokens` tokens, so that an answer
        at a window's edge stands whole in one of them. A page that fits, or has no words, is one range.
        """
        _, room = self._asked(question)
        _, word_index = self._words.encode_words(words)
        before = np.concatenate([[0], np.cumsum(np.bincount(word_index, minlength=len(words)))])  # tokens before a word
        overlap = min(overlap_tokens, room // 2)
        ranges: list[tuple[int, int]] = []
        first = last = 0
        while not ranges or last < len(words):
            end = int(np.searchsorted(before, before[first] + room, side="right")) - 1
            if ranges and end <= last:  # the next word is too long to stand beside the overlap
                first = last
                end = int(np.searchsorted(before, before[first] + room, side="right")) - 1
            # A word longer than a window is cut, as the end of a page is.
            last = min(max(end, first + 1), len(words))
            ranges.append((first, last))
            first = max(int(np.searchsorted(before, before[last] - overlap)), first + 1)
        return ranges

    def decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
        """Text of one sequence of generated token ids."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
        return text.strip()

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = True) -> list[str]:
        """Text of each sequence of generated token ids."""
        return [self.decode(tokens, skip_special_tokens) for tokens in sequences]

    def _pages(
        self, pictures: list[Image.Image] | None, words: Any, boxes: Any, ocr: Ocr | None
    ) -> list[tuple[Sequence[str], Any]]:
        if words is None:
            if pictures is None:
                return [((), ())]
            return [_read(ocr, picture) if ocr is not None else ((), ()) for picture in pictures]
        if boxes is None:
            raise ModelInputError("words without boxes: give each word's x0, y0, x1, y1 in 0..1000 of the page")
        if len(words) and not isinstance(words[0], str):
            if len(words) != len(boxes):
                raise ModelInputError(f"words of {len(words)} pages and boxes of {len(boxes)}: give both for each page")
            return list(zip(words, boxes, strict=True))
        return [(words, boxes)]

    def _encode(
        self, page: tuple[Sequence[str], Any], question: str | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        words, boxes = page
        if not all(isinstance(word, str) for word in words):
            raise ModelInputError("words hold something that is no text: give strings, or a list of them for each page")
        word_boxes = _word_boxes(boxes)
        if len(words) != len(word_boxes):
            raise ModelInputError(f"{len(words)} words and {len(word_boxes)} boxes: give each word one box")
        asked, room = self._asked(question)
        ids, word_index = self._words.encode_words(words, room)
        bbox = np.zeros((len(ids) + len(asked) + 1, 4), np.int64)
        bbox[: len(ids)] = word_boxes[word_index]
        return np.concatenate([ids, np.asarray(asked, np.int64), [EOS_ID]]).astype(np.int64), bbox

    def _asked(self, question: str | None) -> tuple[list[int], int]:
        """The question's tokens, and the text positions that are left for the page."""
        # Not verbose: a question that is too long is refused below, and transformers' own warning says another limit.
        encoded = self.tokenizer(question, add_special_tokens=False, verbose=False) if question else {"input_ids": []}
        asked: list[int] = encoded["input_ids"]
        room = self.max_text_tokens - 1 - len(asked)
        if room < 0:
            raise ModelInputError(
                f"the question takes {len(asked)} tokens of {self.max_text_tokens - 1}: shorten it, "
                "or raise max_text_tokens"
            )
        return asked, room

    def _pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        size = (self.image_width, self.image_height)
        pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _read(ocr: Ocr, picture: Image.Image) -> tuple[Sequence[str], Any]:
    found = ocr(picture)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ModelInputError(f"ocr gave {type(found).__name__}: let it give words and their boxes")
    return found[0], found[1]


def _word_boxes(boxes: Any) -> NDArray[np.int64]:
    """int64 [N, 4] of one page's boxes."""
    try:
        found = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        raise ModelInputError("boxes are no numbers, or not as many for each word: give x0, y0, x1, y1") from None
    if not found.size:
        return np.zeros((0, 4), np.int64)
    if found.ndim != 2 or found.shape[1] != 4:
        raise ModelInputError(f"boxes are of shape {list(found.shape)}: give x0, y0, x1, y1 for each word")
    if not (found.min() >= 0 and found.max() <= 1000):  # NaN is in no order
        raise ModelInputError(f"boxes hold {found.min():g}..{found.max():g}: scale them to 0..1000 of the page")
    if found.max() <= 1 and (found % 1).any():
        raise ModelInputError(f"boxes hold {found.min():g}..{found.max():g}: scale them by 1000")
    if (found[:, :2] > found[:, 2:]).any():
        wrong = found[(found[:, :2] > found[:, 2:]).any(1)][0]
        raise ModelInputError(f"a box is {wrong.tolist()}: give x0 <= x1 and y0 <= y1")
    return found.astype(np.int64)


def _download(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, FILE_NAME))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelInputError(f"{name}: neither a local folder nor a hub model that can be read: {reason}") from error


AutoProcessor.register(DocFormerV2Config, DocFormerV2Processor)
