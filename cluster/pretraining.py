"""`pretrain`: checks a run before anything starts, launches its workers, watches them, and sums up."""

import contextlib
import hashlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.runs.folder import RunFolder, newest_step, settings_of
from cluster.runs.resume import prepare
from cluster.runs.watch import Watch
from cluster.samples.corpora import Corpora
from cluster.samples.page_index import find_index, index_key
from cluster.settings import PretrainSettings
from cluster.stopping import in_thread, patience_s, stop_on_signal
from cluster.training.schedule import moved_end
from cluster.workers.room import refuse_without_room
from model.hub_name import is_path
from pipelines.errors import JobError, UsageError
from pipelines.folders.address import folder_of

VOCABULARY_FILES = ("tokenizer.json", "spiece.model")


@dataclass(frozen=True)
class RunSummary:
    """How a run ended.

    Attributes:
        out: its folder.
        steps, samples: done over the whole run.
        signal: that stopped it early, after a checkpoint.
        restarts: starts after the first one, over the whole run.
        seconds: of this start.
        scores: the last held-out line of metrics.jsonl.
    """

    out: str
    steps: int
    samples: int
    signal: str | None
    restarts: int
    seconds: float
    scores: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def pretrain(settings: PretrainSettings, resume: bool = False, allow_changed_corpus: bool = False) -> RunSummary:
    """Pretrain as `settings` say, in a new folder, or with `resume` from the run's newest good checkpoint.

    With `allow_changed_corpus` a resume goes on also when the corpora or their weights are others.

    The first SIGINT or SIGTERM lets the workers finish their step, save and end, for which they have `notice_s`; where
    none has started yet, nothing is waited for. A second one ends at once.

    Raises:
        UsageError: bad corpus, tokenizer or folder, or a resume that would change the run; nothing is touched then.
        JobError: training failed; the message holds the reason.
    """
    started = time.monotonic()
    settings = check_ahead(settings)
    run = RunFolder(settings.out)
    corpora = Corpora.open(settings.corpora)
    facts = {"corpora": corpora.fingerprints(), "tokenizer_digest": _tokenizer_digest(settings, run)}
    _check_parts(settings, corpora)
    index = find_index(corpora, settings.held_out, run.page_index)
    before = _settings_before(run)
    prepare(run, settings, facts, resume, allow_changed_corpus)
    if len(corpora.paths) > 1:
        print(corpora.shares(), file=sys.stderr)
    at = newest_step(run)
    if at and before is not None and at < settings.steps != before.steps:
        moved = moved_end(before, settings, at)
        run.note("hint", moved)
        print(moved, file=sys.stderr)
    if at == settings.steps:
        done = f"{run.path}: at step {settings.steps} already, nothing left to train; its model is written again"
        print(done, file=sys.stderr)
    index.save(run.page_index, index_key(corpora, settings.held_out))
    if settings.ray:
        from cluster.workers.ray_train import fit
    else:
        from cluster.workers.plain import fit
    run.note("launch", f"{settings.workers} workers" if settings.ray else "this process")
    with Watch(run, settings.steps) as watch, stop_on_signal(run) as stop:
        failure = in_thread(lambda: fit(settings), watch.look, stop, partial(patience_s, run, settings.notice_s))
    step = newest_step(run)
    if not run.noted_since_launch("end") and stop and step is not None:
        run.note("end", f"stopped by {stop[0].name}; the newest checkpoint counts", signal=stop[0].name, step=step)
    ends = run.noted_since_launch("end")
    if not ends:
        _raise(run, failure, stop)
    step = step or 0
    return RunSummary(
        out=settings.out,
        steps=step,
        samples=step * settings.global_batch_pages,
        signal=ends[-1]["signal"],
        restarts=max(0, len(run.noted("start")) - 1),
        seconds=round(time.monotonic() - started, 1),
        scores=watch.scores,
    )


def _settings_before(run: RunFolder) -> PretrainSettings | None:
    """The settings of the run's last start; None before the first, and where its folder was lost."""
    with contextlib.suppress(UsageError):
        return settings_of(run)
    return None


def _absolute(settings: PretrainSettings) -> PretrainSettings:
    """Local places with their full path, because workers run in folders of their own; hub names as they are."""
    places = {"out": settings.out}
    places |= {
        name: place
        for name in ("tokenizer", "init")
        if (place := getattr(settings, name)) is not None and Path(place).expanduser().exists()
    }
    if settings.checkpoint_store is not None:
        settings = settings.model_copy(update={"checkpoint_store": folder_of(settings.checkpoint_store).address})
    corpora = [replace(corpus, path=folder_of(corpus.path).address) for corpus in settings.corpora]
    return settings.model_copy(
        update={"corpus": tuple(map(str, corpora)), **{name: _whole(place) for name, place in places.items()}}
    )


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def check_ahead(settings: PretrainSettings) -> PretrainSettings:
    """Refuse what is seen to be wrong without corpus and tokenizer; returns the settings with whole paths.

    Raises:
        UsageError: no room for the workers, an address of no store, or a tracker that is not installed.
        ModelInputError: the model's settings are wrong, or there is no T5 to start from.
    """
    from cluster.training.assemble import model_config
    from cluster.training.trackers import refuse_missing

    refuse_without_room(settings)
    refuse_missing(settings.model_dump())
    settings = _absolute(settings)
    model_config(settings, {})
    return settings


def check_tokenizer(settings: PretrainSettings) -> int:
    """Entries of the run's tokenizer, which is loaded, so that a bad one is refused before anything."""
    from cluster.training.assemble import tokenizer_of

    return len(tokenizer_of(settings))


def _check_parts(settings: PretrainSettings, corpora: Corpora) -> None:
    """Put together what needs the corpora, so that it is refused before anything."""
    from cluster.training.assemble import model_config

    model_config(settings, {"vocab_size": check_tokenizer(settings), **corpora.grid})


def _tokenizer_digest(settings: PretrainSettings, run: RunFolder) -> str:
    """Hex sha256 of a local tokenizer's vocabulary file; of a hub name, the name itself.

    A run has a copy of its tokenizer: where the original is gone, its digest is the one that the run knows.
    """
    folder = Path(settings.tokenizer)
    for name in VOCABULARY_FILES:
        if (folder / name).is_file():
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if not is_path(settings.tokenizer):
        return settings.tokenizer
    if not folder.exists() and run.tokenizer.is_dir() and run.facts.is_file():
        return str(json.loads(run.facts.read_text(encoding="utf-8"))["tokenizer_digest"])
    raise UsageError(
        f"{settings.tokenizer}: holds no tokenizer ({' or '.join(VOCABULARY_FILES)}); train one with "
        "docformer tokenizer train, or give a hub name"
    )


def _raise(run: RunFolder, failure: BaseException | None, stop: Sequence[signal.Signals]) -> None:
    """Raise what ended the run without success: bad input as such, anything else as a failed job."""
    again = f"; {'begin again' if newest_step(run) is None else 'go on'} with: {run.resume_command}"
    errors = run.noted_in_attempt("error")
    if errors:
        if errors[0]["usage"]:
            raise UsageError(errors[0]["text"])
        where = f" (traceback in {run.events})" if "traceback" in errors[0] else ""
        raise JobError(f"{errors[0]['text']}{where}{again}")
    hangs = run.noted_in_attempt("hang")
    if hangs:
        raise JobError(f"{hangs[0]['text']}{again}")
    if stop and failure is None:
        raise JobError(f"stopped by {stop[0].name} before the first checkpoint; begin again with: {run.resume_command}")
    lost = " ".join(str(failure).split())[:300] if failure else "the workers ended without a word"
    raise JobError(f"training ended too early: {lost}{again}") from failure
