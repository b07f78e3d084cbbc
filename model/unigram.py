"""The unigram baseline of the decoder's targets: how well their frequencies alone predict them.

A denoising loss says something only beside this one. Sentinels and eos are left out of both, because their places give
them away.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model.tokenizer import EOS_ID, SENTINELS

Ints = NDArray[np.int64]


def is_text_target(labels: Ints, vocab_size: int) -> NDArray[np.bool_]:
    """Which targets are text: not ignored (-100), no eos, no sentinel (the last 100 ids of `vocab_size`).

    Works on numpy arrays and torch tensors of any shape alike; `vocab_size` is the tokenizer's, sentinels included.
    """
    text: NDArray[np.bool_] = (labels >= 0) & (labels != EOS_ID) & (labels < vocab_size - SENTINELS)
    return text


class UnigramBaseline:
    """Token frequencies of training targets, with add-one smoothing over the vocabulary without sentinels and eos."""

    def __init__(self, vocab_size: int) -> None:
        """`vocab_size` counts the sentinels."""
        self.vocab_size = vocab_size
        self.counts = np.zeros(vocab_size, np.int64)

    def add(self, labels: Ints) -> None:
        """Count the text targets of one training sample or batch (int64, any shape, -100 ignored)."""
        self.counts += np.bincount(labels[is_text_target(labels, self.vocab_size)], minlength=self.vocab_size)

    def log_probabilities(self) -> NDArray[np.float64]:
        """Natural logarithms, float64 [vocab_size]; minus infinity for eos and sentinels."""
        text = is_text_target(np.arange(self.vocab_size), self.vocab_size)
        probabilities = np.where(text, self.counts + 1, 0) / (self.counts.sum() + text.sum())
        with np.errstate(divide="ignore"):
            logarithms: NDArray[np.float64] = np.log(probabilities)
        return logarithms

    def loss(self, targets: Iterable[Ints]) -> tuple[float, int]:
        """Sum of the negative log-likelihoods, in nats, of held-out text targets, and how many there are."""
        log_probabilities = self.log_probabilities()
        total, count = 0.0, 0
        for labels in targets:
            text = labels[is_text_target(labels, self.vocab_size)]
            total -= float(log_probabilities[text].sum())
            count += len(text)
        return total, count
