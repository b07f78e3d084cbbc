"""A small corpus and tokenizer, made once, and the settings of a run that takes seconds."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import PretrainSettings

# Every process that a test starts by a fork server then has its imports done; asked before the first one starts it.
multiprocessing.set_forkserver_preload(["tests.cluster.gang_imports"])

TINY = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "image_height": 64,
    "image_width": 32,
    "visual_rows": 2,
    "visual_columns": 1,
    "stem_channels": [4, 4, 4, 8],
}
OBJECTIVES = {"max_text_tokens": 48, "max_target_tokens": 16, "line_pairs": 16}


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A corpus of 40 generated documents."""
    from pipelines.building.build import build
    from pipelines.settings import CorpusSettings
    from pipelines.synthetic import generate

    folder = tmp_path_factory.mktemp("training")
    generate(folder / "documents", documents=40, seed=5, scans=0.0, hostile=0)
    build([str(folder / "documents")], folder / "corpus", CorpusSettings(ocr="text-layer", image_long_side=128))
    return folder / "corpus"


@pytest.fixture(scope="session")
def small_tokenizer(small_corpus: Path) -> Path:
    """A tokenizer trained on `small_corpus`."""
    from model.tokenizer import train_tokenizer
    from pipelines.corpus.reader import Corpus

    out = small_corpus.parent / "tokenizer"
    train_tokenizer((row["words"] for row in Corpus.open(small_corpus).rows(["words"])), out, vocab_size=400)
    return out


@pytest.fixture
def tiny_run(small_corpus: Path, small_tokenizer: Path) -> Callable[..., PretrainSettings]:
    """Makes settings of a run in `out`, with changes."""

    def settings(out: Path, **changes: Any) -> PretrainSettings:
        values = {
            "corpus": str(small_corpus),
            "tokenizer": str(small_tokenizer),
            "out": str(out),
            "preset": "tiny",
            "model": TINY,
            "objectives": OBJECTIVES,
            "steps": 8,
            "global_batch_pages": 6,
            "micro_batch_pages": 2,
            "learning_rate": 3e-3,
            "warmup_steps": 2,
            "held_out": 0.2,
            "eval_pages": 5,
            "eval_every": 4,
            "checkpoint_every": 4,
            "ray": False,
        }
        return PretrainSettings.model_validate({**values, **changes})

    return settings
