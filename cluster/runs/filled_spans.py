"""Masked spans of held-out pages, and what the model writes in their places."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from cluster.runs.report import FilledSpan
from model.batch import collate
from model.docformer import DocFormerV2ForConditionalGeneration
from model.sample import Sample, SampleBuilder
from model.tokenizer import EOS_ID, SENTINELS

CONTEXT_TOKENS = 24


def fill_spans(
    model: DocFormerV2ForConditionalGeneration,
    tokenizer: Any,
    builder: SampleBuilder,
    rows: Iterable[Mapping[str, Any]],
    count: int = 3,
    seed: int = 0,
) -> list[FilledSpan]:
    """Return one filled span for each of the first `count` rows that have a masked span.

    The page is corrupted as in evaluation. The span is the longest of the page's (the first of these), the targets
    before it are given to the decoder, and it writes on, greedily, until it closes the span or has written twice as
    many tokens as were masked.

    Args:
        model: a trained model.
        tokenizer: its `transformers` T5 tokenizer.
        builder: builds samples as in pretraining.
        rows: pages with the contract's columns.
        count: number of spans.
        seed: of the corruption.
    """
    spans: list[FilledSpan] = []
    first_sentinel = builder.tokenizer.vocab_size - SENTINELS
    for row in rows:
        if len(spans) == count:
            break
        sample = builder.build(row, seed, 0)
        if sample["labels"] is not None and len(sample["labels"]):
            spans.append(_fill(model, tokenizer, row, sample, first_sentinel))
    return spans


def _fill(
    model: DocFormerV2ForConditionalGeneration,
    tokenizer: Any,
    row: Mapping[str, Any],
    sample: Sample,
    first_sentinel: int,
) -> FilledSpan:
    labels = np.asarray(sample["labels"])
    opens = np.flatnonzero(labels >= first_sentinel)
    ends = np.append(opens[1:], len(labels) - 1)
    chosen = int(np.argmax(ends - opens))
    start, end = int(opens[chosen]), int(ends[chosen])
    sentinel, gold = int(labels[start]), labels[start + 1 : end]

    batch = collate([sample])
    names = ("input_ids", "bbox", "bbox_hidden", "attention_mask", "pixel_values")
    inputs = {name: batch[name] for name in names if name in batch}
    written = [int(model.config.decoder_start_token_id or 0), *(int(token) for token in labels[: start + 1])]
    predicted: list[int] = []
    model.eval()
    with torch.inference_mode():
        encoded = model.encoder(**inputs)
        for _ in range(2 * len(gold)):
            out = model(
                encoder_outputs=encoded,
                attention_mask=inputs["attention_mask"],
                decoder_input_ids=torch.tensor([written]),
                use_cache=False,
            )
            token = int(out.logits[0, -1].argmax())
            if token == EOS_ID or token >= first_sentinel:
                break
            predicted.append(token)
            written.append(token)

    text = np.asarray(sample["input_ids"])
    at = int(np.flatnonzero(text == sentinel)[0])

    def spoken(tokens: Any) -> str:
        # Other gaps are shown as such; the eos is no text.
        parts: list[list[int]] = [[]]
        for token in (int(t) for t in tokens if t != EOS_ID):
            if token >= first_sentinel:
                parts.append([])
            else:
                parts[-1].append(token)
        return " […] ".join(str(tokenizer.decode(part)).strip() for part in parts).strip()

    source = row.get("source") or {}
    name = source.get("member") or source.get("uri") or str(row["page_id"])[:12]
    return FilledSpan(
        page=f"{name}, page {int(row.get('page_index', 0)) + 1}",
        before=spoken(text[max(0, at - CONTEXT_TOKENS) : at]),
        gold=spoken(gold),
        predicted=spoken(predicted),
        after=spoken(text[at + 1 : at + 1 + CONTEXT_TOKENS]),
    )
