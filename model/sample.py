"""A page row becomes one training sample: tokens, boxes, masks, pairs, labels and picture, as numpy arrays."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.objectives.denoising import Corrupted, corrupt, tokens_before_corruption
from model.objectives.randomness import sample_rng
from model.objectives.settings import ObjectiveSettings
from model.objectives.token_to_grid import grid_targets
from model.objectives.token_to_line import sample_pairs
from model.picture import decode_picture
from model.tokenizer import EOS_ID, WordTokenizer

Ints = NDArray[np.int64]

COLUMNS = ("page_id", "words", "boxes", "line_ids", "grid_cells", "image")


class Sample(TypedDict):
    """One page, corrupted and labelled. S encoder text positions with eos, T targets with eos, P pairs.

    An objective that is switched off has None for its labels. No sample depends on anything but the page, the
    settings, the seed and the epoch.
    """

    page_id: str
    input_ids: Ints  # [S]
    bbox: Ints  # [S, 4] x0, y0, x1, y1 in 0..1000 of the page from its top left; zeros where hidden and at eos
    bbox_hidden: NDArray[np.bool_]  # [S] a sentinel's box is hidden (unless it shows the union box)
    labels: Ints | None  # [T], empty where nothing is masked
    line_pairs: Ints | None  # [P, 2] positions in 0..S-1
    line_targets: Ints | None  # [P] 0, 1, 2, or -100 in rows that are no pair
    grid_targets: Ints | None  # [S] cell, or -100 at eos
    pixel_values: NDArray[np.uint8] | None  # [3, rows, columns] RGB


class SampleBuilder:
    """Builds samples from page rows (contract columns `COLUMNS`, as lists or arrays)."""

    def __init__(
        self,
        tokenizer: WordTokenizer,
        settings: ObjectiveSettings | None = None,
        picture_size: tuple[int, int] | None = (512, 384),
        kept_pictures: int = 0,
    ) -> None:
        """`picture_size` is (rows, columns) in pixels; None leaves the picture out and does not read `image`.

        The first `kept_pictures` decoded pictures stay in memory: a small corpus comes by many times, and decoding is
        most of a sample's work.
        """
        self.tokenizer = tokenizer
        self.settings = settings or ObjectiveSettings()
        self.picture_size = picture_size
        self._kept_pictures = kept_pictures
        self._pictures: dict[str, NDArray[np.uint8]] = {}
        self._raw_tokens = self.settings.max_text_tokens - 1
        if self.settings.denoising:
            self._raw_tokens = tokens_before_corruption(
                self.settings.max_text_tokens, self.settings.noise_density, self.settings.mean_span_tokens
            )

    def build(self, row: Mapping[str, Any], seed: int, epoch: int) -> Sample:
        """The sample that `row` becomes under `seed` in `epoch`.

        Every sub-word inherits its word's box, line and cell; a sentinel those of the first word it replaces. A long
        page keeps its first tokens. Raises ModelInputError when the picture cannot be decoded.
        """
        settings = self.settings
        page_id = str(row["page_id"])
        ids, word_index = self.tokenizer.encode_words(row["words"], self._raw_tokens)
        words = int(word_index[-1]) + 1 if len(word_index) else 0
        boxes = _boxes(row["boxes"][:words])[word_index]
        lines = np.asarray(row["line_ids"][:words], np.int64)[word_index]
        cells = np.asarray(row["grid_cells"][:words], np.int64)[word_index]

        if settings.denoising:
            rng = sample_rng(seed, epoch, page_id, "denoising")
            text = corrupt(rng, ids.astype(np.int64), lines, self.tokenizer.sentinel_ids, settings)
        else:
            text = _uncorrupted(ids.astype(np.int64))
        tokens = len(text.input_ids)
        bbox = np.zeros((tokens + 1, 4), np.int64)
        bbox[:tokens] = boxes[text.source]
        hidden = np.zeros(tokens + 1, bool)
        if settings.hide_masked_boxes:
            hidden[:tokens] = text.is_sentinel
            bbox[hidden] = 0
        else:
            _show_union_boxes(bbox, boxes, text)

        line_pairs = line_targets = None
        if settings.token_to_line:
            rng = sample_rng(seed, epoch, page_id, "token-to-line")
            line_pairs, line_targets = sample_pairs(rng, lines[text.source], settings.line_pairs)
        return Sample(
            page_id=page_id,
            input_ids=np.append(text.input_ids, EOS_ID),
            bbox=bbox,
            bbox_hidden=hidden,
            labels=text.labels if settings.denoising else None,
            line_pairs=line_pairs,
            line_targets=line_targets,
            grid_targets=grid_targets(cells[text.source], tokens + 1) if settings.token_to_grid else None,
            pixel_values=self._picture(page_id, row["image"]) if self.picture_size else None,
        )

    def _picture(self, page_id: str, jpeg: bytes) -> NDArray[np.uint8]:
        found = self._pictures.get(page_id)
        if found is None:
            found = decode_picture(jpeg, *(self.picture_size or (0, 0)))
            if len(self._pictures) < self._kept_pictures:
                self._pictures[page_id] = found
        return found


def _boxes(boxes: Any) -> Ints:
    """Boxes int64 [N, 4] from an array or from lists; a flat pass over lists is twice as fast as numpy's own."""
    if isinstance(boxes, np.ndarray) and boxes.ndim == 2:
        return boxes.astype(np.int64)
    return np.fromiter(chain.from_iterable(boxes), np.int64, 4 * len(boxes)).reshape(-1, 4)


def _uncorrupted(ids: Ints) -> Corrupted:
    places = np.arange(len(ids))
    return Corrupted(ids, places, places + 1, np.zeros(len(ids), bool), np.zeros(0, np.int64))


def _show_union_boxes(bbox: Ints, boxes: Ints, text: Corrupted) -> None:
    """Give each sentinel the smallest box around its span's words (LaTr's variant)."""
    at = np.flatnonzero(text.is_sentinel)
    if not len(at):
        return
    # reduceat wants every start and every end; the odd segments are the gaps between spans.
    padded = np.concatenate([boxes, boxes[-1:]])
    edges = np.stack([text.source[at], text.end[at]], axis=1).reshape(-1)
    bbox[at, :2] = np.minimum.reduceat(padded[:, :2], edges)[::2]
    bbox[at, 2:] = np.maximum.reduceat(padded[:, 2:], edges)[::2]
