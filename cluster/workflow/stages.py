"""The stages of a workflow: what each is made from, what it writes, and how it is made, also after a kill."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cluster.options import load_settings, read_sources
from cluster.workflow.settings import TokenizerSettings
from cluster.workflow.state import digest_of_output
from pipelines.errors import JobError, StoppedError, UsageError


class Stage(Protocol):
    """One stage; `inputs` are JSON values that change whenever its output would."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def output(self) -> Path:
        """The file or folder that it writes."""
        ...

    def check(self) -> None:
        """Raise UsageError when its settings are wrong: asked of every stage before the first one runs."""
        ...

    def inputs(self) -> Mapping[str, Any]:
        """What it is made from; the stages before it are complete by now."""
        ...

    def make(self, anew: bool) -> str:
        """Make the output, going on with what an interrupted start left unless `anew`; returns a line about it."""
        ...


@dataclass(frozen=True)
class CorpusStage:
    """Sources to a corpus; a corpus that is there is brought up to date, and only what changed is read."""

    config: Path
    output: Path
    name: str = "corpus"

    def _sources(self) -> list[str]:
        sources = read_sources(self.config)
        if not sources:
            raise UsageError(f"{self.config}: corpus.sources is empty; name folders, globs or archives of documents")
        return sources

    def _settings(self) -> Any:
        from pipelines.settings import CorpusSettings

        return load_settings(CorpusSettings, "corpus", self.config, {}, besides=frozenset({"sources", "out"}))

    def check(self) -> None:
        """Settings and sources."""
        self._settings()
        self._sources()

    def inputs(self) -> Mapping[str, Any]:
        """The settings and the files that the sources hold now."""
        from pipelines.building.listing import list_files
        from pipelines.building.survey import stamp

        settings = self._settings()
        files = sorted(str(stamp(file)) for file in list_files(self._sources(), settings))
        return {"settings": settings.model_dump(mode="json"), "sources": self._sources(), "files": files}

    def make(self, anew: bool) -> str:
        """Build, resume or update."""
        from pipelines.building.build import build
        from pipelines.building.output import BUILD
        from pipelines.building.update import update
        from pipelines.corpus.reader import MANIFEST

        settings, sources = self._settings(), self._sources()
        unfinished = (self.output / BUILD).is_file()
        if (self.output / MANIFEST).is_file() and not unfinished and not anew:
            summary = update(self.output, sources, settings)
        else:
            summary = build(sources, self.output, settings, resume=unfinished and not anew, overwrite=anew)
        return f"{summary.found} documents, {summary.taken} taken, {summary.pages} pages"


@dataclass(frozen=True)
class TokenizerStage:
    """A vocabulary from the corpus."""

    config: Path
    corpus: Path
    output: Path
    name: str = "tokenizer"

    def inputs(self) -> Mapping[str, Any]:
        """The corpus and the size."""
        return {"corpus": digest_of_output(self.corpus), "vocab_size": self._size()}

    def check(self) -> None:
        """The size."""
        self._size()

    def _size(self) -> int:
        return load_settings(TokenizerSettings, "tokenizer", self.config, {}).vocab_size

    def make(self, anew: bool) -> str:
        """Train; the folder appears whole."""
        from model.tokenizer import train_tokenizer
        from pipelines.corpus.reader import Corpus

        beside = self.output.with_name(f".{self.output.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        pages = (row["words"] for row in Corpus.open(self.corpus).rows(["words"]))
        entries = train_tokenizer(pages, beside, vocab_size=self._size())
        shutil.rmtree(self.output, ignore_errors=True)
        beside.rename(self.output)
        return f"{entries} entries"


@dataclass(frozen=True)
class PretrainStage:
    """A run; a run that is there is gone on with, and refused where it was started otherwise."""

    config: Path
    corpus: Path
    tokenizer: Path | None
    output: Path
    name: str = "pretrain"

    def _settings(self) -> Any:
        from cluster.settings import PretrainSettings

        places = {"corpus": str(self.corpus), "out": str(self.output)}
        if self.tokenizer is not None:
            places["tokenizer"] = str(self.tokenizer)
        return load_settings(PretrainSettings, "pretrain", self.config, places)

    def check(self) -> None:
        """The settings, what they name, and whether the workers have room here."""
        from cluster.pretraining import check_ahead, check_tokenizer

        settings = check_ahead(self._settings())
        if self.tokenizer is None:
            check_tokenizer(settings)

    def inputs(self) -> Mapping[str, Any]:
        """The settings, corpus and vocabulary."""
        tokenizer = digest_of_output(self.tokenizer) if self.tokenizer else None
        settings = self._settings().model_dump(mode="json")
        return {"settings": settings, "corpus": digest_of_output(self.corpus), "tokenizer": tokenizer}

    def make(self, anew: bool) -> str:
        """Start, or go on."""
        from cluster.pretraining import pretrain

        if anew and self.output.exists():
            _set_aside(self.output)
        summary = pretrain(self._settings(), resume=(self.output / "config.yaml").is_file())
        if summary.signal:
            raise StoppedError(summary.signal)
        return f"{summary.steps} steps, {summary.samples} samples"


@dataclass(frozen=True)
class _OfRun:
    """What is made from a finished run's model."""

    run: Path
    output: Path

    def check(self) -> None:
        """It has no settings."""

    def inputs(self) -> Mapping[str, Any]:
        """The run's model."""
        return {"model": digest_of_output(self.run)}


@dataclass(frozen=True)
class EvaluateStage(_OfRun):
    """Held-out scores and a report of the run."""

    name: str = "evaluate"

    def make(self, anew: bool) -> str:
        """Write scores.json and report.html."""
        from cluster.runs.scores import score_lines
        from cluster.workflow.evaluate import evaluate

        evaluated = evaluate(self.run, self.output)
        print("\n".join(score_lines(evaluated.scores)), file=sys.stderr)
        return f"{evaluated.report}"


@dataclass(frozen=True)
class ExportStage(_OfRun):
    """The model as a folder that `from_pretrained` loads."""

    name: str = "export"

    def make(self, anew: bool) -> str:
        """Write config.json, model.safetensors and the tokenizer; the folder appears whole."""
        from cluster.checkpoints.checkpoint import newest_good
        from cluster.export import export_checkpoint
        from cluster.runs.folder import RunFolder
        from pipelines.folders.blame import clear_beside

        run = RunFolder(self.run)
        checkpoint, _ = newest_good(run.checkpoints)
        if checkpoint is None:
            raise JobError(f"{self.run}: holds no complete checkpoint; start again with --from pretrain")
        clear_beside(self.output)
        export_checkpoint(checkpoint, run.tokenizer, self.output)
        return f"step {checkpoint.step}"


def _set_aside(run: Path) -> None:
    """Rename a run out of the way: hours of training are not deleted because a word was typed."""
    number = 1
    while (aside := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    run.rename(aside)
