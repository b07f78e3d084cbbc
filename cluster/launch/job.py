"""The docformer command of a launch file: its settings, workers and places as the job will find them, checked here."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cluster.jobs.submit import check_command, complete_words
from cluster.launch.nodes import Range, workers_of
from cluster.options import load_settings, read_section, read_sources
from cluster.settings import PretrainSettings
from cluster.workflow.run import workflow
from cluster.workflow.settings import RunSettings, TokenizerSettings
from pipelines.errors import UsageError
from pipelines.folders.clients import SCHEMES
from pipelines.settings import CorpusSettings
from pipelines.sources.places import scheme_of

# A job that starts again after losing its cluster goes on instead of beginning anew.
RESUMABLE = ("pretrain", "corpus build")


class Place(NamedTuple):
    """Where a command reads or writes; with `elsewhere` it need not be on the storage."""

    what: str
    path: str
    elsewhere: bool = False


def command_of(words: list[str], config: Path, mount: str, workers: str | None = None) -> tuple[list[str], Range]:
    """The complete, resumable command, and the training workers it asks for.

    Args:
        words: a docformer command; without words the configuration file's own.
        config: the file that the job gets.
        mount: the storage that outlives the nodes.
        workers: in place of the file's.

    Raises:
        UsageError: not a command for a cluster, settings that it would refuse, or a place that is not below `mount`.
    """
    words = complete_words(words, config)
    args = check_command(words, config)
    command = args.command_name.removeprefix("docformer ")
    asked = {} if workers is None else {"workers": workers}
    places: list[Place] = []
    run: PretrainSettings | None = None
    if command == "pretrain":
        run = load_settings(PretrainSettings, "pretrain", config, {**asked, **vars(args)})
        places = _of_pretraining(run)
    elif command == "run":
        run, places = _of_workflow(config, asked)
    elif command in ("corpus build", "corpus update"):
        places = _of_corpus(config, args)
    for place in places:
        if not place.elsewhere and (not Path(place.path).is_relative_to(mount) or ".." in Path(place.path).parts):
            where = f"not below {mount}, the storage that outlives the nodes (launch.mount)"
            raise UsageError(f"{place.what} = {place.path!r}: {where}")
    if command in RESUMABLE and not args.resume:
        words = [*words, "--resume"]
    if run is not None:
        return words, Range(run.min_workers, run.max_workers)
    return words, workers_of(read_section(config, "pretrain"), workers)


def _of_pretraining(run: PretrainSettings) -> list[Place]:
    corpora = [Place("pretrain.corpus", corpus.path, scheme_of(corpus.path) in SCHEMES) for corpus in run.corpora]
    models = [
        Place(f"pretrain.{name}", place, _is_hub_name(place))
        for name in ("tokenizer", "init")
        if (place := getattr(run, name)) is not None
    ]
    return [*corpora, Place("pretrain.out", run.out), *models]


def _of_workflow(config: Path, asked: Mapping[str, Any]) -> tuple[PretrainSettings, list[Place]]:
    out = load_settings(RunSettings, "run", config, {}).out
    workflow(config)
    load_settings(TokenizerSettings, "tokenizer", config, {})
    made = {name: out for name in ("corpus", "tokenizer", "out") if name not in read_section(config, "pretrain")}
    run = load_settings(PretrainSettings, "pretrain", config, {**asked, **made})
    return run, [Place("run.out", out), *_of_pretraining(run), *_of_corpus(config, Namespace(out=out))]


def _of_corpus(config: Path, args: Namespace) -> list[Place]:
    load_settings(CorpusSettings, "corpus", config, vars(args), besides=frozenset({"sources", "out"}))
    sources = getattr(args, "sources", None) or read_sources(config)
    updated = getattr(args, "corpus", None)  # `corpus update` may have no more than that
    out = args.out or updated or read_section(config, "corpus").get("out")
    for name, given in (("sources", sources or updated), ("out", out)):
        if not given:
            raise UsageError(f"{config}: corpus.{name} is not set; name what the nodes can reach")
    return [
        *(Place("corpus.sources", source, bool(scheme_of(source))) for source in sources),
        *(Place("corpus.out", str(place), scheme_of(str(place)) in SCHEMES) for place in (updated or out, out)),
    ]


def _is_hub_name(place: str) -> bool:
    return not place.startswith((".", "/", "~")) and place.count("/") <= 1
