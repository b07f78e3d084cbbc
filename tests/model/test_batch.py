import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.batch import collate
from model.objectives.settings import ObjectiveSettings
from model.sample import Sample, SampleBuilder
from model.tokenizer import WordTokenizer
from tests.model.rows import jpeg, page_row


def samples(tokenizer: WordTokenizer, sizes: list[int], **changes: object) -> list[Sample]:
    builder = SampleBuilder(tokenizer, ObjectiveSettings.model_validate(changes), None)
    return [builder.build(page_row(size, seed), 0, 0) for seed, size in enumerate(sizes)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    multiple=st.integers(1, 64),
    targets=st.none() | st.integers(1, 16),
)
def test_padding_to_multiples_keeps_every_sample(
    word_tokenizer: WordTokenizer, sizes: list[int], multiple: int, targets: int | None
) -> None:
    made = samples(word_tokenizer, sizes)
    batch = collate(made, multiple, targets)
    length = max(len(sample["input_ids"]) for sample in made)
    text, wide = batch["input_ids"].shape[1], batch["labels"].shape[1]
    assert text % multiple == 0
    assert length <= text < length + multiple
    longest = max(1, *(len(sample["labels"]) for sample in made if sample["labels"] is not None))
    assert wide % (targets or multiple) == 0
    assert longest <= wide < longest + (targets or multiple)
    pads = {"input_ids": 0, "bbox": 0, "bbox_hidden": False, "labels": -100, "grid_targets": -100}
    for place, sample in enumerate(made):
        tokens = len(sample["input_ids"])
        assert batch["attention_mask"][place].tolist() == [1] * tokens + [0] * (text - tokens)
        for key, pad in pads.items():
            values: np.ndarray = sample[key]  # type: ignore[literal-required]
            row = batch[key][place].numpy()
            assert np.array_equal(row[: len(values)], values)
            assert (row[len(values) :] == pad).all()
        assert np.array_equal(batch["line_pairs"][place].numpy(), sample["line_pairs"])


def test_types_and_shapes_are_the_models(word_tokenizer: WordTokenizer) -> None:
    builder = SampleBuilder(word_tokenizer, ObjectiveSettings(line_pairs=5), (32, 24))
    batch = collate([builder.build(page_row(n, image=jpeg(60, 40)), 0, 0) for n in (3, 9)], 8)
    assert {key: value.dtype for key, value in batch.items()} == {
        "input_ids": torch.int64,
        "bbox": torch.int64,
        "bbox_hidden": torch.bool,
        "attention_mask": torch.int64,
        "labels": torch.int64,
        "line_pairs": torch.int64,
        "line_targets": torch.int64,
        "grid_targets": torch.int64,
        "pixel_values": torch.uint8,
    }
    assert batch["pixel_values"].shape == (2, 3, 32, 24)
    assert batch["line_pairs"].shape == (2, 5, 2)
    assert batch["bbox"].shape == (*batch["input_ids"].shape, 4)


def test_keys_depend_on_the_settings_and_not_on_the_pages(word_tokenizer: WordTokenizer) -> None:
    full = set(collate(samples(word_tokenizer, [40])))
    assert set(collate(samples(word_tokenizer, [0]))) == full, "an empty page has every key, so ranks agree"
    off = {"denoising": {"labels"}, "token_to_line": {"line_pairs", "line_targets"}, "token_to_grid": {"grid_targets"}}
    for name, keys in off.items():
        assert set(collate(samples(word_tokenizer, [40], **{name: False}))) == full - keys


def test_no_samples_and_mixed_samples_are_refused(word_tokenizer: WordTokenizer) -> None:
    with pytest.raises(ValueError, match="at least one"):
        collate([])
    mixed = samples(word_tokenizer, [5]) + samples(word_tokenizer, [5], denoising=False)
    with pytest.raises(ValueError, match="labels"):
        collate(mixed)
