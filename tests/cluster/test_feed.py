"""What the loop is fed: every page once an epoch, held-out ones never, in one order at any number of workers."""

import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cluster.cli import main
from cluster.samples.feed import Feed, StepBatch
from cluster.settings import PretrainSettings
from cluster.training.assemble import Parts, assemble
from pipelines.corpus.reader import Corpus
from pipelines.errors import UsageError
from tests.cluster.gang import train_together

Run = Callable[..., PretrainSettings]
CPU = torch.device("cpu")
STEPS = 24


@pytest.fixture(scope="session")
def other_corpus(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 12 documents, four of them in `small_corpus` too."""
    from pipelines.building.build import build
    from pipelines.settings import CorpusSettings
    from pipelines.synthetic import generate

    folder = tmp_path_factory.mktemp("other")
    generate(folder / "documents", documents=8, seed=77, scans=0.0, hostile=0)
    for document in sorted((small_corpus.parent / "documents").glob("*.pdf"))[:4]:
        shutil.copy(document, folder / "documents" / f"shared-{document.name}")
    build([str(folder / "documents")], folder / "corpus", CorpusSettings(ocr="text-layer", image_long_side=128))
    return folder / "corpus"


def feed_of(parts: Parts, batch: int, rank: int = 0, world_size: int = 1, seed: int = 0) -> Feed:
    return Feed(
        parts.store,
        parts.order,
        parts.builder,
        seed=seed,
        global_batch=batch,
        micro_batch=4,
        rank=rank,
        world_size=world_size,
    )


def page_ids(feed: Feed, first: int, last: int, processes: int = 0) -> list[str]:
    return [page for batch in feed.steps(first, last, processes, CPU) for page in batch.page_ids]


def documents(corpus: Path) -> dict[str, str]:
    """The document of each page of a corpus."""
    return {row["page_id"]: row["doc_id"] for row in Corpus.open(corpus).rows(["page_id", "doc_id"])}


def test_every_training_page_comes_once_an_epoch(tiny_run: Run, small_corpus: Path, tmp_path: Path) -> None:
    parts = assemble(tiny_run(tmp_path))
    pages, count = documents(small_corpus), parts.order.training_pages
    assert 0 < count < len(pages)
    assert count + parts.store.index.held_out_pages == len(pages)
    seen = page_ids(feed_of(parts, 1), 1, 2 * count)
    assert len(set(seen[:count])) == count
    assert set(seen[:count]) == set(seen[count:])
    assert seen[:count] != seen[count:]
    held_out = [row["page_id"] for row in parts.store.held_out(range(parts.store.index.held_out_pages))]
    assert set(held_out) == set(pages) - set(seen)
    assert not {pages[page] for page in held_out} & {pages[page] for page in seen}, "documents are on one side"


def test_a_page_is_masked_anew_by_epoch_and_seed(tiny_run: Run, tmp_path: Path) -> None:
    parts = assemble(tiny_run(tmp_path))
    count = parts.order.training_pages
    masks = set()
    for seed in range(2):
        batches = list(feed_of(parts, 8, seed=seed).steps(1, 2 * count // 8, 0, CPU))
        assert [batch.epoch for batch in batches] == [(8 * batch.step - 1) // count for batch in batches]
        alone = feed_of(parts, 1, seed=seed)
        page = alone[1].page_ids
        again = next(step for step in range(count + 1, 2 * count + 1) if alone[step].page_ids == page)
        masks |= {tuple(alone[step].micro_batches[0]["input_ids"].flatten().tolist()) for step in (1, again)}
    assert len(masks) == 4


def test_a_small_share_holds_out_one_document_at_least(tiny_run: Run, small_corpus: Path, tmp_path: Path) -> None:
    parts = assemble(tiny_run(tmp_path, held_out=1e-9))
    held_out = [row["page_id"] for row in parts.store.held_out(range(parts.store.index.held_out_pages))]
    of_page = documents(small_corpus)
    (document,) = {of_page[page] for page in held_out}
    assert sorted(held_out) == sorted(page for page, doc_id in of_page.items() if doc_id == document)
    assert parts.order.training_pages == len(of_page) - len(held_out)


def test_rows_come_also_when_few_row_groups_are_kept(tiny_run: Run, tmp_path: Path) -> None:
    wanted, parts = page_ids(feed_of(assemble(tiny_run(tmp_path)), 8), 1, 9), assemble(tiny_run(tmp_path))
    parts.store._kept = 1
    assert page_ids(feed_of(parts, 8), 1, 9) == wanted
    assert len(parts.store._cache) == 1


def test_a_mixture_keeps_its_shares_and_its_held_out_documents(
    tiny_run: Run, small_corpus: Path, other_corpus: Path, tmp_path: Path
) -> None:
    parts = assemble(tiny_run(tmp_path, corpus=[f"{small_corpus}=3", str(other_corpus)], held_out=0.3))
    batches = list(feed_of(parts, 16).steps(1, 20, 0, CPU))
    groups = [[place.group for place in parts.order.batch(16 * step, 16)] for step in range(20)]
    first_of_other = int(parts.store.index.corpus_groups[1])
    for batch, places in zip(batches, groups, strict=True):
        assert abs(sum(group >= first_of_other for group in places) - 4) <= 1
        assert len(batch.page_ids) == 16
    seen = {page for batch in batches for page in batch.page_ids}
    held_out = {row["page_id"] for row in parts.store.held_out(range(parts.store.index.held_out_pages))}
    of_page = {**documents(small_corpus), **documents(other_corpus)}
    assert held_out
    assert not {of_page[page] for page in seen} & {of_page[page] for page in held_out}, "in either corpus"
    assert [batch.epoch for batch in batches] == sorted(batch.epoch for batch in batches)


def test_workers_share_each_batch(tiny_run: Run, tmp_path: Path) -> None:
    parts = assemble(tiny_run(tmp_path))
    whole = page_ids(feed_of(parts, 10), 3, 6)
    for world in (2, 3, 4):
        ranks = [list(feed_of(parts, 10, rank, world).steps(3, 6, 0, CPU)) for rank in range(world)]
        assert [page for step in zip(*ranks, strict=True) for part in step for page in part.page_ids] == whole


def test_the_index_of_a_run_is_read_again_and_made_anew_when_damaged(
    tiny_run: Run, small_corpus: Path, tmp_path: Path
) -> None:
    from cluster.samples.corpora import Corpora
    from cluster.samples.page_index import find_index, index_key, make_index

    corpora, file = Corpora.open(tiny_run(tmp_path).corpora), tmp_path / "pages.npz"
    made = make_index(corpora, 0.2)
    made.save(file, index_key(corpora, 0.2))
    moved = tmp_path / "moved"
    shutil.copytree(small_corpus, moved)
    shutil.rmtree(moved / "pages")
    elsewhere = Corpora.open(tiny_run(tmp_path, corpus=str(moved)).corpora)
    found = find_index(elsewhere, 0.2, file)  # reads no shard
    assert (found.training == made.training).all()
    assert found.held_out(range(3)) == made.held_out(range(3))
    with pytest.raises(UsageError, match="missing"):
        find_index(elsewhere, 0.3, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match="missing"):
        find_index(elsewhere, 0.2, file)


@pytest.mark.parametrize("processes", [0, 1])
def test_a_shard_that_is_lost_amid_a_run_is_named(
    tiny_run: Run, small_corpus: Path, tmp_path: Path, processes: int
) -> None:
    shutil.copytree(small_corpus, tmp_path / "corpus")
    parts = assemble(tiny_run(tmp_path, corpus=str(tmp_path / "corpus")))
    shard = next((tmp_path / "corpus" / "pages").glob("*.parquet"))
    shard.unlink()
    with pytest.raises(UsageError, match=shard.name) as error:
        page_ids(feed_of(parts, 8), 1, 50, processes)
    assert "\n" not in str(error.value)
    assert not any(thread.name == "feed" for thread in threading.enumerate())


def test_a_feed_ends_when_nobody_asks_any_more(tiny_run: Run, tmp_path: Path) -> None:
    batches: Iterator[StepBatch] = feed_of(assemble(tiny_run(tmp_path)), 4).steps(5, 10**9, 0, CPU)
    assert next(batches).step == 5
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "feed" for thread in threading.enumerate())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies to a GPU need one")
def test_batches_arrive_whole_on_the_gpu(tiny_run: Run, tmp_path: Path) -> None:
    feed = feed_of(assemble(tiny_run(tmp_path)), 8)
    for here, there in zip(feed.steps(1, 30, 0, CPU), feed.steps(1, 30, 1, torch.device("cuda", 0)), strict=True):
        for left, right in zip(here.micro_batches, there.micro_batches, strict=True):
            assert {value.device.type for value in right.values()} == {"cuda"}
            torch.testing.assert_close(left, {key: value.cpu() for key, value in right.items()}, rtol=0, atol=0)


def test_what_is_wrong_with_corpora_is_said(
    tiny_run: Run, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse = tmp_path / "coarse"
    shutil.copytree(small_corpus, coarse)
    manifest = json.loads((coarse / "manifest.json").read_text())
    manifest["settings"]["grid_rows"] = 2
    (coarse / "manifest.json").write_text(json.dumps(manifest))
    common = ["pretrain", "--tokenizer", "none", "--out", str(tmp_path / "run")]
    for corpora, says in (
        ([small_corpus, coarse], "its grid is 2 x 4"),
        ([f"{small_corpus}=0"], "must be above 0"),
        ([small_corpus, f"{small_corpus}=2"], "given twice"),
        ([tmp_path / "none"], "holds no complete corpus"),
    ):
        flags = [text for corpus in corpora for text in ("--corpus", str(corpus))]
        assert main([*common, *flags]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def digests(run: Path) -> dict[int, str]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["batch_digest"] for line in lines if line["split"] == "train"}


def test_another_corpus_is_refused_unless_allowed(
    tiny_run: Run, small_corpus: Path, other_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = [str(small_corpus), f"{other_corpus}=0.5"]
    out = tmp_path / "run"
    settings = tiny_run(tmp_path / "first", corpus=mixed, steps=4)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}))
    assert main(["pretrain", "--config", str(tmp_path / "run.yaml"), "--out", str(out)]) == 0
    assert main(["pretrain", "--config", str(out / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert digests(out) == digests(tmp_path / "again")
    assert digests(out).keys() == {1, 2, 3, 4}
    assert f"samples: 0.667 of {small_corpus}, 0.333 of {other_corpus} (" in capsys.readouterr().err

    resume = ["pretrain", "--out", str(out), "--resume", "--steps", "6"]
    changes: list[tuple[list[str], str]] = [
        ([str(small_corpus), f"{other_corpus}=0.6"], "corpora.1.share was 0.666"),
        ([str(small_corpus)], "corpora.2.digest was"),
        ([str(other_corpus), str(small_corpus)], "corpora.1.digest was"),
    ]
    for corpora, says in changes:
        assert main([*resume, "--corpus", *corpora]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert "--allow-changed-corpus" in error
    before = {step: digest for step, digest in digests(out).items() if step <= 4}
    assert main([*resume, "--corpus", *changes[0][0], "--allow-changed-corpus"]) == 0
    assert {**before, **digests(out)} == digests(out)
    assert digests(out).keys() == set(range(1, 7))
    assert "goes on with other corpora: corpora.1.share was" in (out / "events.jsonl").read_text()
    # Weights in other units are the same shares.
    assert main(["pretrain", "--out", str(out), "--resume", "--corpus", f"{small_corpus}=10", f"{other_corpus}=6"]) == 0


def long_run(tiny_run: Run, out: Path, **changes: Any) -> PretrainSettings:
    values: dict[str, Any] = {"steps": STEPS, "global_batch_pages": 7, "micro_batch_pages": 4, "eval_pages": 1}
    every = {"eval_every": STEPS, "checkpoint_every": 1, "keep_checkpoints": STEPS}
    return tiny_run(out, **{**values, **every, **changes})


def taken_back(run: Path, copy: Path, step: int) -> Path:
    """A copy of a run as a kill right after the checkpoint of `step` leaves it."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("step-*", "model"))
    shutil.copytree(run / "checkpoints" / f"step-{step:08d}", copy / "checkpoints" / f"step-{step:08d}")
    return copy


@pytest.mark.timeout(900)
def test_sample_ids_are_the_same_at_any_number_of_workers_and_through_20_resumes(tiny_run: Run, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    train_together([long_run(tiny_run, straight)], tmp_path, workers=1)
    whole = digests(straight)
    assert whole.keys() == set(range(1, STEPS + 1))
    assert len(set(whole.values())) == STEPS
    stops = random.Random(0).sample(range(1, STEPS), 20)
    for world, chosen in ((1, stops[:7]), (2, stops[7:14]), (3, stops[14:17]), (4, stops[17:])):
        runs = [] if world == 1 else [long_run(tiny_run, tmp_path / str(world), checkpoint_every=STEPS)]
        for step in chosen:
            out = taken_back(straight, tmp_path / f"{world} from {step}", step)
            runs.append(long_run(tiny_run, out, steps=step + 1, checkpoint_every=STEPS))
        train_together(runs, tmp_path, workers=world)
        for run in runs:
            assert digests(Path(run.out)) == {step: digest for step, digest in whole.items() if step <= run.steps}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_sample_ids_are_the_same_through_three_resumes_under_ray(tiny_run: Run, tmp_path: Path) -> None:
    from cluster.pretraining import pretrain

    straight = tmp_path / "straight"
    pretrain(long_run(tiny_run, straight))
    for workers, step in ((2, 3), (1, 11), (2, 20)):
        out = taken_back(straight, tmp_path / f"from {step}", step)
        pretrain(long_run(tiny_run, out, steps=step + 2, ray=True, workers=workers), resume=True)
        assert digests(out) == {number: digest for number, digest in digests(straight).items() if number <= step + 2}
