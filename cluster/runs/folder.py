"""The folder of a pretraining run: its names, its configuration, its record of starts, and what a resume may change."""

import fcntl
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from cluster.checkpoints.shelf import complete, shelf_of, step_of
from cluster.runs.json_lines import JsonLines
from cluster.settings import FREE_ON_RESUME, PretrainSettings
from pipelines.corpus.shards import write_text
from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
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
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config, self.facts = self.path / "config.yaml", self.path / "facts.json"
        self.metrics, self.events = self.path / "metrics.jsonl", self.path / "events.jsonl"
        self.model, self.tokenizer, self.latest = (self.path / name for name in ("model", "tokenizer", "latest"))
        self.stop, self.save, self.page_index = (self.path / name for name in ("stop", "save", "pages.npz"))

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


def prepare(
    run: RunFolder,
    settings: PretrainSettings,
    facts: Mapping[str, Any],
    resume: bool,
    allow_changed_corpus: bool = False,
) -> None:
    """Make the folder ready for this start, or refuse before anything in it is touched.

    Args:
        run: the folder.
        settings: of this start.
        facts: what the settings stand for; "corpora" among them.
        resume: go on with the run that is there.
        allow_changed_corpus: also with other corpora: the next samples are then those of the new ones.

    Raises:
        UsageError: the folder holds something, and it is not to be resumed or not a run of the same settings.
    """
    wanted = {"settings": comparable(settings), **facts}
    if run.path.exists() and not run.path.is_dir():
        raise UsageError(f"{run.path} is a file; give --out a folder")
    checkpoints = run.checkpoints_at(settings.checkpoint_store)
    kept = checkpoints if settings.checkpoint_store else None
    before, occupied = _facts_before(run, kept), _occupied(run, kept)
    if occupied is not None:
        place, option = occupied
        if not resume:
            has = "a run; add --resume to go on with it, or" if before is not None else "something;"
            raise UsageError(f"{place} already holds {has} give {option} another folder")
        if before is None:
            raise UsageError(f"{place} holds no run that could be resumed; give {option} another folder")
        differ = _differences(before, wanted)
        changed = [line for line in differ if line.startswith("corpora.")]
        if len(differ) > len(changed) or (changed and not allow_changed_corpus):
            other = ", or add --allow-changed-corpus" if differ == changed else ", or give --out another folder"
            raise UsageError(f"{place}: the run was started otherwise: {'; '.join(differ)}; use the same again{other}")
        if (step := _newest(checkpoints)) is not None and step > settings.steps:
            remedy = f"give --steps more than {step} to go on, or leave it out"
            raise UsageError(f"{place}: is at step {step} already, beyond steps = {settings.steps}; {remedy}")
        if changed:
            run.note("corpus", f"goes on with other corpora: {'; '.join(changed)}")
    run.path.mkdir(parents=True, exist_ok=True)
    run.lock(LOCK_WAIT_S).close()
    text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
    try:
        checkpoints.make()
        shelf_of(checkpoints).clear()
        if kept is not None:
            kept.write_text(run.facts.name, text)
    except OSError as error:
        raise UsageError(_no_use(checkpoints, error)) from None
    run.stop.unlink(missing_ok=True)
    run.save.unlink(missing_ok=True)
    write_text(run.config, yaml.safe_dump({"pretrain": settings.model_dump(mode="json")}, sort_keys=False))
    write_text(run.facts, text)


def _facts_before(run: RunFolder, store: Folder | None) -> dict[str, Any] | None:
    """The facts of the run that is there; where its folder is lost, those beside its checkpoints in `store`."""
    places = [LocalFolder(run.path), *([] if store is None else [store])]
    for place in places:
        try:
            facts: dict[str, Any] = json.loads(place.read_text(run.facts.name))
        except FileNotFoundError:
            continue
        except ValueError:
            raise UsageError(f"{place}/{run.facts.name}: damaged; give --out another folder") from None
        except OSError as error:
            raise UsageError(_no_use(place, error)) from None
        return facts
    return None


def _no_use(place: Folder, error: OSError) -> str:
    return f"{place}: cannot be used: {' '.join(str(error).split())[:160]}"


def _occupied(run: RunFolder, store: Folder | None) -> tuple[str, str] | None:
    """What holds something already, and the option that names it: the run's folder or that of its checkpoints."""
    if run.path.is_dir() and any(run.path.iterdir()):
        return str(run.path), "--out"
    if store is not None and not store.empty():
        return store.address, "--checkpoint-store"
    return None


def comparable(settings: PretrainSettings) -> dict[str, Any]:
    """The settings that a resume must not change; what paths stand for is compared by the facts instead."""
    return {name: value for name, value in settings.model_dump(mode="json").items() if name not in FREE_ON_RESUME}


def _differences(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    flat_before, flat_wanted = _flat(before), _flat(wanted)
    return [
        f"{name} was {flat_before.get(name)!r} and is {flat_wanted.get(name)!r}"
        for name in sorted({*flat_before, *flat_wanted})
        if flat_before.get(name) != flat_wanted.get(name)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}." if name != "settings" else ""))
        else:
            flat[prefix + name] = value
    return flat


def newest_step(run: RunFolder) -> int | None:
    """Step of the newest complete checkpoint, None without one and where its store does not answer."""
    return _newest(run.checkpoints)


def _newest(checkpoints: Folder) -> int | None:
    try:
        found = complete(checkpoints)
    except OSError:
        return None
    return step_of(found[0]) if found else None
