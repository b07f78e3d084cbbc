"""Whether a run may start or go on in a folder: what a resume must find unchanged, and what it must not destroy."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

import yaml

from cluster.checkpoints.shelf import shelf_of
from cluster.runs.folder import LOCK_WAIT_S, RunFolder, newest_step_in
from cluster.settings import FREE_ON_RESUME, PretrainSettings
from pipelines.corpus.shards import write_text
from pipelines.errors import UsageError
from pipelines.folders.folder import Folder
from pipelines.folders.local import TEMPORARY, LocalFolder


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
        if (step := newest_step_in(checkpoints)) is not None and step > settings.steps:
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
    shutil.rmtree(run.scratch, ignore_errors=True)
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
    """What holds something already, and the option that names it: the run's folder or that of its checkpoints.

    A start that was killed before it had written the facts leaves a folder that holds nothing yet.
    """
    if run.path.is_dir() and not _only_begun(run):
        return str(run.path), "--out"
    if store is not None and not store.empty():
        return store.address, "--checkpoint-store"
    return None


def _only_begun(run: RunFolder) -> bool:
    """Whether the folder is empty, or holds no more than what `prepare` makes before the facts."""
    names = {path.name for path in run.path.iterdir() if path.suffix != TEMPORARY}
    ours = {"lock", run.config.name, "checkpoints"}
    return not names or ("lock" in names and names <= ours and run.checkpoints_at(None).empty())


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
