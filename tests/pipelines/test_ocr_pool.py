"""Actors read pages of many callers in batches; an actor that dies costs no page, a page that kills it only itself."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest

from pipelines.building.build import build
from pipelines.corpus.reader import Corpus
from pipelines.ocr.engine import ENGINES, OcrPage, Picture
from pipelines.ocr.pool_ray import BatchReader, PooledEngine, ocr_pool, pooled
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from tests.pipelines.test_ocr import DOCTR, save_doctr_weights

DEADLY = 255
pytestmark = pytest.mark.usefixtures("ray_session")


class Levels:
    """An engine of numpy alone: the word of a page is its grey level, and one level ends the process."""

    name, version = "levels", "levels 1"

    def read_batch(self, pictures: Sequence[Picture]) -> list[OcrPage]:
        time.sleep(0.1)  # the others come meanwhile
        if any(picture[0, 0, 0] == DEADLY for picture in pictures):
            os._exit(1)
        words = [[str(picture[0, 0, 0])] * 6 for picture in pictures]
        return [OcrPage.of(each, [[0.1, 0.1, 0.9, 0.2]] * 6, [0.9] * 6) for each in words]


class LevelReader(BatchReader):
    """The actor, which knows that engine."""

    def __init__(self, name: str, options: Mapping[str, Any], batch_pages: int) -> None:
        ENGINES["levels"] = (__name__, "Levels", "numpy")
        super().__init__(name, options, batch_pages)


class Alone(Levels):
    """What reads in a child process where the actor failed; the deadly page costs that child."""

    def read(self, picture: Picture) -> OcrPage:
        if picture[0, 0, 0] == DEADLY:
            raise DropError(Reason.CRASHED, "the child process ended")
        return self.read_batch([picture])[0]

    def close(self) -> None:
        pass


def page(level: int) -> Picture:
    return np.full((20, 30, 3), level, np.uint8)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[PooledEngine]:
    monkeypatch.setattr("pipelines.ocr.pool_ray.BatchReader", LevelReader)
    with ocr_pool("test-pool", "levels", {}, actors=1, gpus=0.5, batch_pages=3) as count:
        assert count == 1
        yield pooled("test-pool", count, Alone(), 60)  # type: ignore[arg-type]


def test_pages_of_several_callers_share_batches(pool: PooledEngine) -> None:
    import ray

    with ThreadPoolExecutor(7) as callers:
        pages = list(callers.map(pool.read, map(page, range(7))))
    assert [each.words[0] for each in pages] == [str(level) for level in range(7)]
    sizes = ray.get(ray.get_actor("test-pool-0").batch_sizes.remote())
    assert sum(sizes) == 7
    assert 1 < max(sizes) <= 3


def test_a_page_that_kills_the_actor_costs_itself_alone(pool: PooledEngine) -> None:
    levels = [1, 2, DEADLY, 4, 5]

    def read(level: int) -> str:
        try:
            return pool.read(page(level)).words[0]
        except DropError as error:
            return str(error.reason)

    with ThreadPoolExecutor(5) as callers:
        assert list(callers.map(read, levels)) == ["1", "2", "crashed", "4", "5"]
    deadline = time.monotonic() + 60
    while True:  # the actor is there again
        try:
            assert pool.ask(page(9))[0].words[0] == "9"
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_build_reads_by_doctr_through_its_actors_and_leaves_none(tmp_path: Path) -> None:
    import ray

    save_doctr_weights(tmp_path)
    (tmp_path / "in").mkdir()
    with pymupdf.open() as pdf:  # in pale print: with these weights every page looks as if it lay on its side
        pdf.new_page(width=300, height=200).insert_text((30, 60), "pale print", fontsize=30, color=(0.95, 0.95, 0.95))
        pdf.save(tmp_path / "in" / "a.pdf")
    settings = CorpusSettings(
        **{"ocr": "doctr", "ocr_dpi": 50, "ocr_actors": 1, "workers": 1, "min_ocr_confidence": 0.0},
        **{f"doctr_{name}": value for name, value in DOCTR.items()},
        doctr_weights=str(tmp_path),
        image_long_side=200,
    )
    build([str(tmp_path / "in")], tmp_path / "out", settings)
    (row,) = Corpus.open(tmp_path / "out").rows()
    assert row["text_source"] == "doctr"
    assert len(row["words"]) > 0
    assert row["engine"].startswith("python-doctr")
    with pytest.raises(ValueError, match="Failed to look up actor"):
        ray.get_actor(f"ocr-{settings.fingerprint()[:16]}-0")
