import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from model.errors import ModelInputError
from model.objectives.settings import ObjectiveSettings
from model.sample import Sample, SampleBuilder
from model.tokenizer import EOS_ID, WordTokenizer
from tests.model.rows import jpeg, page_row, trained_tokenizer

shared_tokenizer = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def build(tokenizer: WordTokenizer, row: dict[str, Any], seed: int = 0, epoch: int = 0, **changes: Any) -> Sample:
    return SampleBuilder(tokenizer, ObjectiveSettings.model_validate(changes), None).build(row, seed, epoch)


def origins(tokenizer: WordTokenizer, row: dict[str, Any], sample: Sample) -> list[int]:
    """For each text position but eos the index of the word it came from (a sentinel's is its span's first word)."""
    ids, word_index = tokenizer.encode_words(row["words"])
    targets = sample["labels"].tolist() if sample["labels"] is not None else []
    sentinels = tokenizer.sentinel_ids.tolist()
    lengths: dict[int, int] = {}
    for token in targets[:-1]:
        if token in sentinels:
            current = token
            lengths[current] = 0
        else:
            lengths[current] += 1
    found, at = [], 0
    for token in sample["input_ids"][:-1].tolist():
        found.append(int(word_index[at]))
        assert token in lengths or token == ids[at]
        at += lengths.get(token, 1)
    return found


@shared_tokenizer
@given(words=st.integers(0, 700), seed=st.integers(0, 50), union=st.booleans())
def test_boxes_and_labels_survive_tokenisation_and_masking(
    word_tokenizer: WordTokenizer, words: int, seed: int, union: bool
) -> None:
    row = page_row(words, seed, words_a_line=1 + seed % 9)
    sample = build(word_tokenizer, row, seed, hide_masked_boxes=not union)
    origin = origins(word_tokenizer, row, sample)
    text = len(origin)
    grid = sample["grid_targets"]
    assert grid is not None
    assert grid[:text].tolist() == [row["grid_cells"][word] for word in origin]
    masked = np.isin(sample["input_ids"], word_tokenizer.sentinel_ids)
    for place, word in enumerate(origin):
        if not masked[place]:
            assert sample["bbox"][place].tolist() == row["boxes"][word]
    pairs, labels = sample["line_pairs"], sample["line_targets"]
    assert pairs is not None
    assert labels is not None
    assert (labels >= 0).any() == (text > 1)
    for (first, second), label in zip(pairs.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            distance = abs(row["line_ids"][origin[first]] - row["line_ids"][origin[second]])
            assert label == min(distance, 2)
    assert (sample["bbox_hidden"] == (masked & (not union))).all()
    assert (sample["bbox"][sample["bbox_hidden"]] == 0).all(), "a hidden box is not in the input at all"


@shared_tokenizer
@given(data=st.data(), words=st.integers(1, 120), seed=st.integers(0, 1_000))
def test_random_boxes_reach_their_sub_words_and_sentinels_show_the_union(
    word_tokenizer: WordTokenizer, data: st.DataObject, words: int, seed: int
) -> None:
    coordinate = st.integers(0, 1000)
    corners = data.draw(st.lists(st.tuples(*[coordinate] * 4), min_size=words, max_size=words))
    boxes = np.sort(np.array(corners).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    row = {**page_row(words, seed), "boxes": boxes.tolist()}
    shown = build(word_tokenizer, row, seed, hide_masked_boxes=False)
    origin = origins(word_tokenizer, row, shown)
    masked = np.isin(shown["input_ids"][:-1], word_tokenizer.sentinel_ids)
    for place, word in enumerate(origin):
        box = shown["bbox"][place]
        # A sentinel's box holds its first word's; any other token's is its word's.
        assert (box[:2] <= boxes[word, :2]).all()
        assert (box[2:] >= boxes[word, 2:]).all()
        assert masked[place] or box.tolist() == boxes[word].tolist()
    assert shown["bbox"].min() >= 0
    assert shown["bbox"].max() <= 1000


def test_the_eos_closes_both_sides_and_is_not_labelled(word_tokenizer: WordTokenizer) -> None:
    sample = build(word_tokenizer, page_row(100))
    assert sample["input_ids"][-1] == EOS_ID
    assert sample["labels"] is not None
    assert sample["labels"][-1] == EOS_ID
    assert sample["bbox"][-1].tolist() == [0, 0, 0, 0]
    assert not sample["bbox_hidden"][-1]
    assert sample["grid_targets"] is not None
    assert sample["grid_targets"][-1] == -100
    assert sample["line_pairs"] is not None
    assert sample["line_pairs"].max() < len(sample["input_ids"]) - 1


def test_the_union_box_is_the_smallest_around_the_masked_words(word_tokenizer: WordTokenizer) -> None:
    row = page_row(60)
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 800, (60, 2))
    row["boxes"] = np.concatenate([corner, corner + rng.integers(1, 200, (60, 2))], axis=1).tolist()
    hidden = build(word_tokenizer, row)
    shown = build(word_tokenizer, row, hide_masked_boxes=False)
    assert hidden["input_ids"].tolist() == shown["input_ids"].tolist()
    ids, word_index = word_tokenizer.encode_words(row["words"])
    origin = origins(word_tokenizer, row, shown)
    sentinels = np.flatnonzero(np.isin(shown["input_ids"], word_tokenizer.sentinel_ids))
    assert len(sentinels) > 3
    labels = shown["labels"]
    assert labels is not None
    at = 0
    for place, token in enumerate(shown["input_ids"][:-1].tolist()):
        length = 1
        if place in sentinels:
            start = int(np.flatnonzero(labels == token)[0]) + 1
            length = next(n for n, t in enumerate(labels[start:].tolist()) if t in [*word_tokenizer.sentinel_ids, 1])
            boxes = np.array(row["boxes"])[word_index[at : at + length]]
            union = [*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist()]
            assert shown["bbox"][place].tolist() == union
            assert word_index[at] == origin[place]
        at += length
    assert at == len(ids)


@pytest.mark.parametrize("words", [[], ["\u200b"]], ids=["no words", "a word that normalises to nothing"])
def test_a_page_without_tokens_is_an_eos(word_tokenizer: WordTokenizer, words: list[str]) -> None:
    row = {**page_row(len(words)), "words": words}
    sample = build(word_tokenizer, row)
    assert sample["input_ids"].tolist() == [EOS_ID]
    assert sample["labels"] is not None
    assert sample["labels"].tolist() == []
    assert sample["line_targets"] is not None
    assert (sample["line_targets"] == -100).all()


def test_a_one_word_page_keeps_its_box_and_cell(word_tokenizer: WordTokenizer) -> None:
    row = {**page_row(1), "words": ["payment"]}
    sample = build(word_tokenizer, row, denoising=False)
    pieces = len(word_tokenizer.encode_words(["payment"])[0])
    assert sample["bbox"].tolist() == [row["boxes"][0]] * pieces + [[0, 0, 0, 0]]
    assert sample["grid_targets"] is not None
    assert sample["grid_targets"].tolist() == row["grid_cells"] * pieces + [-100]


def test_a_long_page_keeps_its_first_tokens(word_tokenizer: WordTokenizer) -> None:
    row = page_row(5_000)
    sample = build(word_tokenizer, row)
    assert len(sample["input_ids"]) == 512
    assert sample["labels"] is not None
    assert len(sample["labels"]) <= 128
    origin = origins(word_tokenizer, row, sample)
    assert origin[0] == 0
    assert set(origin) | set(range(max(origin))) == set(range(max(origin) + 1))
    plain = build(word_tokenizer, row, denoising=False)
    assert plain["input_ids"][:-1].tolist() == word_tokenizer.encode_words(row["words"])[0][:511].tolist()


def test_switching_an_objective_off_leaves_the_others_as_they_were(word_tokenizer: WordTokenizer) -> None:
    row = page_row(300)
    every = build(word_tokenizer, row)
    for off, keys in {
        "token_to_line": ("line_pairs", "line_targets"),
        "token_to_grid": ("grid_targets",),
    }.items():
        sample: Any = build(word_tokenizer, row, **{off: False})
        for key, value in every.items():
            if key in keys:
                assert sample[key] is None
            else:
                assert np.array_equal(sample[key], value), (off, key)
    plain = build(word_tokenizer, row, denoising=False)
    assert plain["labels"] is None
    assert not plain["bbox_hidden"].any()
    assert not np.isin(plain["input_ids"], word_tokenizer.sentinel_ids).any()


def test_each_of_seed_epoch_and_page_changes_the_mask(word_tokenizer: WordTokenizer) -> None:
    row = page_row(200)
    other = {**row, "page_id": "b" * 64}
    masks = [build(word_tokenizer, r, s, e)["input_ids"].tolist() for r, s, e in [(row, 0, 0), (row, 1, 0)]]
    masks += [build(word_tokenizer, r, s, e)["input_ids"].tolist() for r, s, e in [(row, 0, 1), (other, 0, 0)]]
    assert len({tuple(mask) for mask in masks}) == 4


def test_each_of_seed_epoch_and_page_changes_the_pairs_of_an_unmasked_page(word_tokenizer: WordTokenizer) -> None:
    row = page_row(200)
    other = {**row, "page_id": "b" * 64}
    made = [(row, 0, 0), (row, 1, 0), (row, 0, 1), (other, 0, 0)]
    pairs: Any = [build(word_tokenizer, r, s, e, denoising=False)["line_pairs"] for r, s, e in made]
    assert len({one.tobytes() for one in pairs}) == 4


def test_lists_and_arrays_give_the_same_sample(word_tokenizer: WordTokenizer) -> None:
    row = page_row(120)
    arrays = {**row, "boxes": np.array(row["boxes"], np.uint16), "grid_cells": np.array(row["grid_cells"], np.uint8)}
    arrays["line_ids"] = np.array(row["line_ids"], np.int32)
    left: Any = build(word_tokenizer, row)
    right: Any = build(word_tokenizer, arrays)
    assert all(np.array_equal(left[key], right[key]) for key in left)


def digest(tokenizer: WordTokenizer, numbers: list[int]) -> dict[int, str]:
    builder = SampleBuilder(tokenizer, ObjectiveSettings(), None)
    found = {}
    for number in numbers:
        sample: Any = builder.build(page_row(50 + number, number), 7, 2)
        parts = [sample[key].tolist() for key in sorted(sample) if isinstance(sample[key], np.ndarray)]
        found[number] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return found


def test_a_sample_is_the_same_in_another_process_and_another_order(
    word_tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    trained_tokenizer(tmp_path)
    code = (
        "import json, sys; from model.tokenizer import WordTokenizer; from tests.model.test_sample import digest\n"
        "print(json.dumps(digest(WordTokenizer.load(sys.argv[1]), [9, 3, 5])))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    elsewhere = {int(number): value for number, value in json.loads(result.stdout.splitlines()[-1]).items()}
    here = digest(word_tokenizer, [3, 4, 5, 9])
    assert elsewhere == {number: here[number] for number in (3, 5, 9)}


def test_the_picture_comes_with_the_sample(word_tokenizer: WordTokenizer) -> None:
    builder = SampleBuilder(word_tokenizer, ObjectiveSettings(), (32, 24))
    pixels = builder.build(page_row(5, image=jpeg(90, 60)), 0, 0)["pixel_values"]
    assert pixels is not None
    assert pixels.shape == (3, 32, 24)
    with pytest.raises(ModelInputError, match="picture"):
        builder.build(page_row(5, image=b"nothing"), 0, 0)


@pytest.mark.parametrize("kept", [0, 2, 9])
def test_each_page_has_its_own_picture_whether_it_was_kept_or_not(word_tokenizer: WordTokenizer, kept: int) -> None:
    rows = [page_row(5, number, image=jpeg(90, 60, number)) for number in range(4)]
    wanted: Any = [SampleBuilder(word_tokenizer, None, (32, 24)).build(row, 0, 0)["pixel_values"] for row in rows]
    builder = SampleBuilder(word_tokenizer, None, (32, 24), kept_pictures=kept)
    for epoch in range(2):
        for row, picture in zip(rows, wanted, strict=True):
            assert np.array_equal(builder.build(row, 0, epoch)["pixel_values"], picture)
    assert len({picture.tobytes() for picture in wanted}) == 4
