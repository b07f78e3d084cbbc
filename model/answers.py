"""Questions to a whole document: every page is asked, and the answer the model is surest of is given.

Policy for several pages and for long ones, ours: a page is read alone, as in pretraining. A page with more text than
the encoder has positions is read in windows of whole words that overlap, each with the picture of the page. Every
window is asked; the answer is that of the window whose answer has the highest mean log-probability a token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.docformer import DocFormerV2ForConditionalGeneration
from model.errors import ModelInputError
from model.picture import Picture
from model.processor import DocFormerV2Processor


@dataclass(frozen=True)
class Page:
    """One page: its picture, its words in reading order, and for each word x0, y0, x1, y1 in 0..1000 of the page."""

    picture: Picture
    words: Sequence[str] = ()
    boxes: Sequence[Sequence[int]] = ()


@dataclass(frozen=True)
class Answer:
    """What a document answers: text, index of the page it is from, mean log-probability of its tokens (nats)."""

    text: str
    page: int
    score: float


def answer(
    model: DocFormerV2ForConditionalGeneration,
    processor: DocFormerV2Processor,
    pages: Sequence[Page],
    question: str,
    max_new_tokens: int = 32,
    windows_at_once: int = 8,
) -> Answer:
    """The document's answer to `question`, by greedy generation.

    Raises:
        ModelInputError: no pages, or what the processor refuses.
    """
    if not pages:
        raise ModelInputError("a document without pages cannot be asked: give at least one page")
    windows = [(number, window) for number, page in enumerate(pages) for window in _windows(processor, page, question)]
    found: list[Answer] = []
    for start in range(0, len(windows), windows_at_once):
        part = windows[start : start + windows_at_once]
        inputs = processor(
            images=[window.picture for _, window in part],
            words=[window.words for _, window in part],
            boxes=[window.boxes for _, window in part],
            questions=question,
        ).to(model.device)
        for (number, _), (text, score) in zip(part, _generate(model, processor, inputs, max_new_tokens), strict=True):
            found.append(Answer(text, number, score))
    return max(found, key=lambda one: one.score)


def _windows(processor: DocFormerV2Processor, page: Page, question: str) -> Iterator[Page]:
    for first, last in processor.windows(page.words, question):
        yield Page(page.picture, page.words[first:last], page.boxes[first:last])


def _generate(
    model: DocFormerV2ForConditionalGeneration, processor: DocFormerV2Processor, inputs: Any, max_new_tokens: int
) -> Iterator[tuple[str, float]]:
    out = model.generate(
        **inputs, max_new_tokens=max_new_tokens, do_sample=False, return_dict_in_generate=True, output_scores=True
    )
    scores: Tensor = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    tokens = out.sequences[:, -scores.shape[1] :]
    real = tokens != model.config.pad_token_id
    means = torch.where(real, scores, 0.0).sum(1) / real.sum(1).clamp(min=1)
    for sequence, mean in zip(tokens, means.tolist(), strict=True):
        yield processor.decode(sequence), mean
