"""What a run's settings stand for: its pages, tokenizer, sample builder and model, the same in every worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from cluster.checkpoints.checkpoint import newest_facts
from cluster.runs.folder import RunFolder
from cluster.samples.corpora import GRID, Corpora
from cluster.samples.order import SampleOrder
from cluster.samples.page_index import find_index
from cluster.samples.pages import PageStore
from cluster.settings import PretrainSettings
from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.errors import ModelInputError
from model.sample import SampleBuilder
from model.tokenizer import WordTokenizer, load_tokenizer
from model.warm_start import config_from_t5, warm_start
from pipelines.errors import UsageError

# Entries of T5's published vocabulary, its 100 sentinels included.
T5_ENTRIES = 32_100
# Fields of the model that follow from tokenizer and corpora.
FORCED = frozenset({"vocab_size", *GRID})
# A corpus whose decoded pictures take no more memory than this in each worker keeps them.
KEPT_PICTURE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Parts:
    """Everything a worker needs but the engine."""

    corpora: Corpora
    store: PageStore
    order: SampleOrder
    tokenizer: Any
    builder: SampleBuilder
    config: DocFormerV2Config


def assemble(settings: PretrainSettings) -> Parts:
    """Open and load what `settings` name.

    Raises:
        UsageError: a corpus is damaged or has too few pages.
        ModelInputError: the tokenizer or the model's settings are wrong.
    """
    corpora = Corpora.open(settings.corpora)
    store = PageStore(corpora, find_index(corpora, settings.held_out, RunFolder(settings.out).page_index))
    tokenizer = tokenizer_of(settings)
    config = model_config(settings, {"vocab_size": len(tokenizer), **corpora.grid})
    size = (config.image_height, config.image_width)
    order = SampleOrder(store.index, corpora.weights, settings.seed)
    fits = order.training_pages * 3 * size[0] * size[1] <= KEPT_PICTURE_BYTES
    builder = SampleBuilder(
        WordTokenizer(tokenizer), settings.objectives, size, kept_pictures=order.training_pages if fits else 0
    )
    return Parts(corpora, store, order, tokenizer, builder, config)


def tokenizer_of(settings: PretrainSettings) -> Any:
    """The run's own copy of its tokenizer, where it has one already: a resume needs the original no more.

    Raises:
        ModelInputError: no T5 tokenizer there.
    """
    own = RunFolder(settings.out).tokenizer
    return load_tokenizer(str(own) if own.is_dir() else settings.tokenizer)


def model_config(settings: PretrainSettings, forced: Mapping[str, int]) -> DocFormerV2Config:
    """The preset (or the T5 to start from) with the run's changes and `forced`: its vocabulary and the corpora's grid.

    Raises:
        UsageError: a change to a field in FORCED, or of a type that is not the field's.
        ModelInputError: a change to no field, or sizes that do not fit together; or no T5 there.
    """
    clash = sorted(FORCED & settings.model.keys())
    if clash:
        raise UsageError(f"model.{clash[0]} follows from the corpus and the tokenizer; leave it out")
    try:
        if settings.init is not None:
            known = newest_facts(RunFolder(settings.out).checkpoints)
            if known is not None:  # a resume needs the T5 no more
                config: DocFormerV2Config = DocFormerV2Config.from_dict(known["model"])
                return config
            return config_from_t5(settings.init, **settings.model, **forced)
        return DocFormerV2Config.preset(settings.preset, **settings.model, **forced)
    except TypeError as error:
        raise UsageError(f"model: {error}; use fields of DocFormerV2Config") from None


def new_model(settings: PretrainSettings, parts: Parts) -> tuple[DocFormerV2ForConditionalGeneration, str]:
    """The model at its start, the same in every worker, and a line about where its weights come from.

    A run with a checkpoint, whose weights come from there, is not given those of `init` first.
    """
    torch.manual_seed(settings.seed)
    model = DocFormerV2ForConditionalGeneration(parts.config)
    if settings.init is None or newest_facts(RunFolder(settings.out).checkpoints) is not None:
        return model, f"random weights of preset {settings.preset}"
    return model, warm_start(model, settings.init, _same_vocabulary(parts.tokenizer, settings.init)).summary()


def _same_vocabulary(tokenizer: Any, init: str) -> bool:
    """Whether the T5 at `init` numbers its tokens as `tokenizer` does; one without a tokenizer has T5's own."""
    try:
        return bool(load_tokenizer(init).get_vocab() == tokenizer.get_vocab())
    except ModelInputError:
        return len(tokenizer) == T5_ENTRIES
