"""Actors read pages of many callers in batches; an actor that dies costs no page, a page that kills it only itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.building.build import build
from pipelines.corpus.reader import read_manifest
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.ocr.pool_ray import PooledEngine, ocr_pool, pooled
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, plain
from tests.pipelines.test_ocr import DOCTR, printed, save_doctr_weights

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_doctr_weights(folder)
    return folder


@pytest.fixture
def pool(ray_session: None, weights: Path) -> Iterator[PooledEngine]:
    options: dict[str, Any] = {**DOCTR, "weights": str(weights)}
    with ocr_pool("test-pool", "doctr", options, actors=1, gpus=0.5, batch_pages=3) as count:
        assert count == 1
        engine = pooled("test-pool", count, IsolatedEngine("doctr", options, 120), 120)
        yield engine
        engine.close()


def test_pages_of_several_callers_share_batches_and_read_as_alone(pool: PooledEngine, weights: Path) -> None:
    import ray

    picture, _ = printed(dpi=50)
    pictures = [np.roll(picture, 7 * place, axis=0) for place in range(6)]
    with ThreadPoolExecutor(6) as callers:
        pages = [page for page, _, _ in callers.map(pool.ask, pictures)]
    sizes = ray.get(ray.get_actor("test-pool-0").batch_sizes.remote())
    assert sum(sizes) == 6
    assert 1 < max(sizes) <= 3
    alone = [pool.ask(one)[0] for one in pictures]
    for page, other in zip(pages, alone, strict=True):
        assert page.words == other.words
        np.testing.assert_allclose(page.boxes, other.boxes, atol=1e-4)


def test_a_dead_actor_costs_no_page(pool: PooledEngine) -> None:
    import ray

    picture, _ = printed(dpi=50)
    before = pool.read(picture)
    ray.kill(ray.get_actor("test-pool-0"), no_restart=False)
    assert pool.read(picture).words == before.words, "read alone, or by the actor started again"
    assert pool.version.startswith("python-doctr")


def test_a_build_reads_through_its_actors_and_leaves_none(tmp_path: Path, weights: Path) -> None:
    import ray

    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.pdf").write_bytes(plain([f"{number} {TEXT}"]))
    settings = CorpusSettings(
        **{"ocr": "doctr", "ocr_dpi": 50, "ocr_actors": 1, "workers": 1, "min_ocr_confidence": 0.0},
        **{f"doctr_{name}": value for name, value in DOCTR.items()},
        doctr_weights=str(weights),
        image_long_side=200,
    )
    summary = build([str(tmp_path / "in")], tmp_path / "out", settings)
    assert summary.pages + summary.quarantined_pages >= 3 or summary.reasons
    assert read_manifest(tmp_path / "out")["totals"]["pages"] == summary.pages
    with pytest.raises(ValueError, match="Failed to look up actor"):
        ray.get_actor(f"ocr-{settings.fingerprint()[:16]}-0")
