"""Samples to one batch of tensors whose keys are the model's argument names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.sample import Sample
from model.tokenizer import PAD_ID

IGNORED = -100


def collate(
    samples: Sequence[Sample], pad_to_multiple: int = 1, target_pad_to_multiple: int | None = None
) -> dict[str, torch.Tensor]:
    """Pad samples to one length and stack them.

    S is the longest text rounded up to `pad_to_multiple`, T the longest targets rounded up to
    `target_pad_to_multiple` (`pad_to_multiple` when None), at least one multiple of it. Which keys there are depends on
    the objectives that are on, never on the pages: an objective that is off leaves its keys out.

    Returns:
        input_ids int64 [B, S] (pad 0), bbox int64 [B, S, 4] (pad 0), bbox_hidden bool [B, S],
        attention_mask int64 [B, S] (1 for tokens), labels int64 [B, T] (pad -100), line_pairs int64 [B, P, 2],
        line_targets int64 [B, P], grid_targets int64 [B, S] (pad -100), pixel_values uint8 [B, 3, rows, columns].

    Raises ValueError for no samples, and where some samples have an objective or a picture and others have not.
    """
    if not samples:
        raise ValueError("a batch needs at least one sample")
    text = _rounded_up(max(len(sample["input_ids"]) for sample in samples), pad_to_multiple)
    batch = {
        "input_ids": _padded([sample["input_ids"] for sample in samples], text, PAD_ID),
        "bbox": _padded([sample["bbox"] for sample in samples], text, 0),
        "bbox_hidden": _padded([sample["bbox_hidden"] for sample in samples], text, False),
        "attention_mask": _padded([np.ones_like(sample["input_ids"]) for sample in samples], text, 0),
    }
    labels = _all_or_none(samples, "labels")
    if labels is not None:
        multiple = target_pad_to_multiple or pad_to_multiple
        targets = _rounded_up(max(1, max(map(len, labels))), multiple)
        batch["labels"] = _padded(labels, targets, IGNORED)
    grid = _all_or_none(samples, "grid_targets")
    if grid is not None:
        batch["grid_targets"] = _padded(grid, text, IGNORED)
    for key in ("line_pairs", "line_targets", "pixel_values"):
        rows = _all_or_none(samples, key)
        if rows is not None:
            batch[key] = torch.from_numpy(np.stack(rows))
    return batch


def _rounded_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _padded(rows: Sequence[NDArray[Any]], length: int, fill: int | bool) -> torch.Tensor:
    padded = np.full((len(rows), length, *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)


def _all_or_none(samples: Sequence[Sample], key: str) -> list[NDArray[Any]] | None:
    rows: list[Any] = [sample.get(key) for sample in samples]
    present = [row for row in rows if row is not None]
    if len(present) not in (0, len(rows)):
        raise ValueError(f"only {len(present)} of {len(rows)} samples have {key}: their settings differ")
    return present or None
