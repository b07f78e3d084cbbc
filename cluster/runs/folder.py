"""The folder of a pretraining run: its names, its configuration, and its record of starts."""

import fcntl
import json
import shlex
import time
from pathlib import Path
from typing import IO, Any

import yaml

from cluster.checkpoints.shelf import complete, shelf_of, step_of
from cluster.runs.json_lines import JsonLines
from cluster.settings import PretrainSettings
from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
from pipelines.folders.blame import clear_beside
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder

LOCK_WAIT_S = 30.0


class RunFolder:
    """Paths of a run, and its small files.

    Attributes:
        path: the folder.
        config: resolved settings, usable as `--config`.
        facts: JSON of what the settings stand for: fingerprints of the corpora, vocabulary digest, model configuration.
        page_index: where the corpora's pages are, see `PageIndex`; made anew when it is missing.
        metrics, events: JSON lines of steps, and of starts, stops and trouble.
        model, tokenizer: folders.
        latest: a file with the name of the newest complete checkpoint.
        stop: a file whose being there asks all workers to save and end; it holds the reason.
        save: a file whose being there asks all workers for a checkpoint.
        scratch: a folder of Ray Train's while it runs.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config, self.facts = self.path / "config.yaml", self.path / "facts.json"
        self.metrics, self.events = self.path / "metrics.jsonl", self.path / "events.jsonl"
        self.model, self.tokenizer, self.latest = (self.path / name for name in ("model", "tokenizer", "latest"))
        self.stop, self.save, self.page_index = (self.path / name for name in ("stop", "save", "pages.npz"))
        self.scratch = self.path / ".ray"

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return f"docformer pretrain --out {shlex.quote(str(self.path))} --resume"

    @property
    def checkpoints(self) -> Folder:
        """Where its checkpoints are: in the folder itself, or where the setting `checkpoint_store` says."""
        try:
            store = json.loads(self.facts.read_text(encoding="utf-8"))["settings"].get("checkpoint_store")
        except (OSError, ValueError, KeyError):
            store = None
        return self.checkpoints_at(store)

    def checkpoints_at(self, store: str | None) -> Folder:
        """Where its checkpoints are if `checkpoint_store` is `store`."""
        return folder_of(store or self.path / "checkpoints")

    def lock(self, wait_s: float) -> IO[str]:
        """Take the run for this process until the returned file is closed or the process ends.

        Workers of a start that was killed may live on for some seconds: they are waited for.

        Raises:
            UsageError: another process still has the run after `wait_s` seconds.
        """
        file = (self.path / "lock").open("w")
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise UsageError(f"{self.path}: another process is training this run; stop it first") from None
                time.sleep(0.2)
            else:
                return file

    def clear(self) -> None:
        """Delete what a start that was killed had begun to write; the caller has the lock, or looks after it.

        Raises:
            OSError: the disk or store of the checkpoints fails.
        """
        LocalFolder(self.path).sweep()
        clear_beside(self.model)
        shelf_of(self.checkpoints).clear()

    def note(self, kind: str, text: str, **values: Any) -> None:
        """Add a line to events.jsonl."""
        JsonLines(self.events).append({"time": time.time(), "kind": kind, "text": text, **values})

    def noted(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events so far, of one kind or all."""
        return [event for event in JsonLines(self.events).all() if kind in (None, event["kind"])]

    def noted_since_launch(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind since the run was last launched."""
        return self._noted_since(("launch",), kind)

    def noted_in_attempt(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind since training last began, or began again after a loss or an error."""
        return self._noted_since(("launch", "again"), kind)

    def _noted_since(self, marks: tuple[str, ...], kind: str) -> list[dict[str, Any]]:
        events = self.noted()
        first = max((place for place, event in enumerate(events) if event["kind"] in marks), default=0)
        return [event for event in events[first:] if event["kind"] == kind]


def settings_of(run: RunFolder) -> PretrainSettings:
    """The settings that a run was started with.

    Raises:
        UsageError: the folder holds no run.
    """
    try:
        return PretrainSettings.model_validate(yaml.safe_load(run.config.read_text(encoding="utf-8"))["pretrain"])
    except FileNotFoundError:
        raise UsageError(f"{run.config}: not found; {run.path} holds no run") from None
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UsageError(f"{run.config}: damaged ({' '.join(str(error).split())[:160]})") from None


def newest_step(run: RunFolder) -> int | None:
    """Step of the newest complete checkpoint, None without one and where its store does not answer."""
    return newest_step_in(run.checkpoints)


def newest_step_in(checkpoints: Folder) -> int | None:
    """The same of a folder of checkpoints."""
    try:
        found = complete(checkpoints)
    except OSError:
        return None
    return step_of(found[0]) if found else None
