"""Filters: what each looks at, that duplicates do not depend on the order of reading, and that each page is counted."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.building.build import build
from pipelines.corpus.facts import FACTS
from pipelines.corpus.reader import Corpus
from pipelines.corpus.stats import stats
from pipelines.corpus.verify import verify
from pipelines.errors import UsageError
from pipelines.filters.decide import all_reasons
from pipelines.filters.duplicates import near_repeats, repeats
from pipelines.filters.keep_out import keep_out_runs, overlap
from pipelines.filters.shingles import runs, word_hashes
from pipelines.filters.signature import signature, text_key
from pipelines.labels.language import identify
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, encrypted, plain

WORDS = [f"word{number}" for number in range(3000)]
ENGLISH = "the committee has approved the annual report on the state of the public library and its readers"
GERMAN = "der Ausschuss hat den Jahresbericht über den Zustand der öffentlichen Bücherei und ihrer Leser gebilligt"


def page(seed: int, count: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=count)


def facts(pages: list[list[str]], **columns: list[Any]) -> pa.Table:
    rows = []
    for number, words in enumerate(pages):
        hashes = word_hashes(words)
        row = {"doc_id": f"{number:064}", "page_index": 0, "words": len(words), "confidence": 1.0, "language": "en"}
        row |= {"text_source": "text-layer", "scored": False, "overlap": 0.0, "filter": "", "digest": None}
        row |= {"text_key": text_key(hashes), "signature": signature(hashes).astype("<u4").tobytes()}
        rows.append(row | {name: values[number] for name, values in columns.items()})
    return pa.Table.from_pylist(rows, schema=FACTS)


def reasons(table: pa.Table, **settings: Any) -> list[str]:
    found: list[str] = all_reasons(table, CorpusSettings.model_validate(settings)).tolist()
    return found


def test_no_filter_is_on_by_default() -> None:
    table = facts([["a"], page(1), page(1)], language=["", "en", "de"], confidence=[0.0, 1.0, 1.0], overlap=[1.0] * 3)
    assert reasons(table) == ["", "", ""]


def test_each_filter_looks_at_its_own_fact() -> None:
    pages = [page(1, 10), page(2, 20), page(3, 30)]
    assert reasons(facts(pages), min_words=20) == ["few-words", "", ""]
    assert reasons(facts(pages), max_words=20) == ["", "", "many-words"]
    languages = facts(pages, language=["en", "de", ""])
    assert reasons(languages, languages=["en"]) == ["", "language", "language"]
    assert reasons(languages, languages=["DE", "und"]) == ["language", "", ""]
    assert reasons(facts(pages, confidence=[0.4, 0.5, 0.6]), min_confidence=0.5) == ["low-confidence", "", ""]
    overlaps = facts(pages, overlap=[0.2, 0.5, None])
    assert reasons(overlaps, keep_out=["x"]) == ["", "evaluation-overlap", ""]
    assert reasons(overlaps, keep_out=["x"], min_words=30) == ["few-words", "few-words", ""], "the first that applies"


def test_duplicates_keep_the_first_in_sorted_order_whatever_the_order_of_reading() -> None:
    near = [*page(1)[:-6], *["changed"] * 6]
    table = facts([page(1), [word.upper() for word in page(1)], near, page(2)])
    expected = ["", "duplicate", "near-duplicate", ""]
    assert reasons(table, drop_duplicates=True, near_duplicates=0.8) == expected
    assert reasons(table, drop_duplicates=True) == ["", "duplicate", "", ""]
    assert reasons(table, near_duplicates=0.8) == ["", "near-duplicate", "near-duplicate", ""]
    order = [2, 3, 1, 0]
    assert reasons(table.take(order), drop_duplicates=True, near_duplicates=0.8) == [expected[i] for i in order]


def test_of_two_pages_of_a_document_the_first_is_kept() -> None:
    table = facts([page(1), page(1), page(1)], doc_id=["b", "b", "a"], page_index=[10, 2, 11])
    assert reasons(table, drop_duplicates=True) == ["duplicate", "duplicate", ""]
    assert reasons(table.slice(0, 2), drop_duplicates=True) == ["duplicate", ""]


def test_a_page_left_out_for_itself_makes_no_other_a_duplicate() -> None:
    table = facts([page(1), page(1)], language=["de", "en"])
    assert reasons(table, drop_duplicates=True, languages=["en"]) == ["language", ""]


@pytest.mark.parametrize("changed", [0, 3, 30, 150])
def test_the_signature_estimates_the_similarity_of_two_pages(changed: int) -> None:
    first = page(5, 600)
    second = [*first[changed:], *page(6, changed)]
    sets = [{tuple(text[i : i + 5]) for i in range(len(text) - 4)} for text in (first, second)]
    exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    estimate = (signature(word_hashes(first)) == signature(word_hashes(second))).mean()
    assert abs(estimate - exact) < 0.15
    found = near_repeats(np.stack([signature(word_hashes(words)) for words in (first, second)]), 0.8)
    assert found.tolist() == [False, estimate >= 0.8]


def test_every_run_of_a_long_page_is_in_its_signature() -> None:
    hashes = word_hashes(page(5, 3000))
    for start in (0, 1000, 2000):
        assert (signature(hashes) <= signature(hashes[start : start + 1000])).all(), "a minimum over all runs"


def test_a_share_of_all_runs_is_reached_by_equal_pages() -> None:
    table = facts([page(1), page(1), page(2)])
    assert reasons(table, near_duplicates=1.0) == ["", "near-duplicate", ""]


def test_a_page_is_compared_with_every_earlier_one_that_it_may_be_like() -> None:
    """The second and third are alike, but hashed together only where the first is too, which is like neither."""
    band, place = np.divmod(np.arange(128), 4)
    first = np.zeros(128, np.uint32)
    second = np.where(band < 16, 0, 1).astype(np.uint32)
    third = np.where((band >= 16) & (place == 0), 2, second).astype(np.uint32)
    assert near_repeats(np.stack([first, second, third]), 0.8).tolist() == [False, False, True]


def test_what_counts_as_the_same_word_and_the_same_run() -> None:
    same = [["Finance,", "\u00c9TUDE", "x"], ["\ufb01nance", "e\u0301tude", "\u2014", "X."]]
    assert word_hashes(same[0]).tolist() == word_hashes(same[1]).tolist()
    first, other = (runs(word_hashes(words), 2).tolist() for words in (["a", "b", "c"], ["b", "a", "c"]))
    assert len(first) == 2
    assert not set(first) & set(other), "the order of the words counts"


def test_equal_keys_in_a_large_set() -> None:
    keys = np.frombuffer(b"".join(text_key(word_hashes([f"w{n % 700}"])) for n in range(1000)), "V16")
    assert repeats(keys).tolist() == [n >= 700 for n in range(1000)]


def test_evaluation_pages_come_from_corpora_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" ".join(page(1)) + "\n\n" + " ".join(page(2)) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"words": page(3)}) + "\n" + json.dumps({"text": "only three words"}))
    kept_out = keep_out_runs([str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")])
    for seed in (1, 2, 3):
        assert overlap(word_hashes(page(seed)), kept_out) == 1.0
    pq.write_table(pa.table({"words": [page(3)], "text": ["other"]}), tmp_path / "words.parquet")
    pq.write_table(pa.table({"text": [" ".join(page(1)), " ".join(page(2))]}), tmp_path / "text.parquet")
    for name, seeds in (("words", [3]), ("text", [1, 2])):
        found = keep_out_runs([str(tmp_path / f"{name}.parquet")])
        assert [overlap(word_hashes(page(seed)), found) for seed in seeds] == [1.0] * len(seeds)
    half = [*page(1)[:150], *page(9)[:150]]
    assert 0.45 < overlap(word_hashes(half), kept_out) < 0.5
    assert overlap(word_hashes(page(9)), kept_out) == 0.0
    assert overlap(word_hashes(["Only", "three", "words!"]), kept_out) == 1.0, "a short page is one run"
    for name, text in (("c.jsonl", "{"), ("d.txt", ""), ("e.csv", "x")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=name):
            keep_out_runs([str(tmp_path / name)])
    with pytest.raises(UsageError, match="nothing"):
        keep_out_runs([str(tmp_path / "nothing.txt")])


def test_languages() -> None:
    assert identify(ENGLISH.split()) == "en"
    assert identify(GERMAN.split()) == "de"
    assert identify(["1,234.00", "€"]) == ""


@pytest.mark.usefixtures("ray_session")
def test_filtered_documents_and_pages_are_accounted_for(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "english.pdf").write_bytes(plain([ENGLISH + " once", GERMAN, ENGLISH + " twice"]))
    (folder / "german.pdf").write_bytes(plain([GERMAN]))
    (folder / "both.pdf").write_bytes(plain([GERMAN, ""]))
    (folder / "copy.pdf").write_bytes(plain([ENGLISH + " once"], width=500))
    (folder / "exam.pdf").write_bytes(plain([TEXT]))
    (folder / "locked.pdf").write_bytes(encrypted("x"))
    (tmp_path / "exam.txt").write_text(TEXT)
    settings = CorpusSettings(
        **{"ocr": "text-layer", "image_long_side": 100, "languages": ("en",), "drop_duplicates": True},
        keep_out=(str(tmp_path / "exam.txt"),),
    )
    summary = build([str(folder)], tmp_path / "out", settings)
    assert (summary.found, summary.filtered, summary.quarantined) == (6, 6 - summary.taken - 1, 1)
    assert summary.filter_reasons == {"duplicate": 1, "evaluation-overlap": 1, "language": 3}
    assert (summary.pages, summary.filtered_pages, summary.quarantined_pages) == (2, 5, 1)
    corpus = Corpus.open(tmp_path / "out")
    assert {row["language"] for row in corpus.rows(["language"])} == {"en"}
    filtered = [row for row in corpus.quarantine_rows() if row["stage"] == "filter"]
    assert sorted(row["reason"] for row in filtered) == ["duplicate", "evaluation-overlap", *["language"] * 3]
    assert any(row["detail"] == "language de, wanted en" for row in filtered)
    assert stats(tmp_path / "out")["filter_reasons"] == summary.filter_reasons
    assert verify(tmp_path / "out") == []
