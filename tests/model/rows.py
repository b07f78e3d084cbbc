"""Generated page rows (the contract's columns) and a tokenizer trained on their words."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.tokenizer import WordTokenizer, train_tokenizer

SYLLABLES = ["in", "voice", "to", "tal", "num", "ber", "date", "pay", "ment", "ac", "count", "de", "li", "ve", "ry"]


def words_of(count: int, seed: int) -> list[str]:
    """`count` words of one to three syllables, some with figures and marks."""
    rng = np.random.default_rng(seed)
    made = ["".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(count)]
    return [f"{word}{rng.integers(1000)}" if rng.random() < 0.1 else word for word in made]


def page_row(words: int, seed: int = 0, words_a_line: int = 7, image: bytes = b"") -> dict[str, Any]:
    """A page whose word k stands alone in a box of its own: its x0 is k % 1000, so that a box tells its word."""
    rng = np.random.default_rng(seed)
    number = np.arange(words)
    boxes = np.stack([number % 1000, number // 1000, number % 1000 + 1, number // 1000 + 9], axis=1)
    return {
        "page_id": hashlib.sha256(f"page {seed} {words}".encode()).hexdigest(),
        "words": words_of(words, seed),
        "boxes": boxes.tolist(),
        "line_ids": (number // words_a_line).tolist(),
        "grid_cells": rng.integers(0, 16, words).tolist(),
        "image": image,
    }


def jpeg(height: int, width: int, seed: int = 0) -> bytes:
    """A picture of coloured noise blocks."""
    rng = np.random.default_rng(seed)
    blocks = Image.fromarray(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8))
    file = io.BytesIO()
    blocks.resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def trained_tokenizer(folder: Path) -> WordTokenizer:
    """A vocabulary small enough that most words are several sub-words."""
    train_tokenizer([words_of(400, seed) for seed in range(5)], folder, vocab_size=90)
    return WordTokenizer.load(folder)
