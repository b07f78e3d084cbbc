"""The output folder: who may write to it, what an unfinished run leaves there, and what is cleared away at the end."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.building.jobs import KEPT_OUT
from pipelines.corpus.parts import KINDS
from pipelines.corpus.reader import MANIFEST, read_manifest
from pipelines.corpus.shards import shard_names
from pipelines.errors import JobError, UsageError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder

BUILD, UPDATE = "build.json", "update.json"


def refuse(out: Folder, wanted: Mapping[str, Any], marker: str, resume: bool, overwrite: bool) -> None:
    """Raise UsageError when a run that wants `wanted` may not use folder `out`; nothing is touched.

    Args:
        out: the folder.
        wanted: what the run is to do; an unfinished run is resumed only to the same end.
        marker: the file that an unfinished run of this kind leaves, `BUILD` or `UPDATE`.
        resume: whether to finish such a run.
        overwrite: whether to replace the corpus that is there.
    """
    try:
        if out.empty():
            return
        unfinished, complete = out.exists(marker), out.exists(MANIFEST)
    except OSError as error:
        raise _unusable(out, error) from None
    if resume and unfinished:
        if before := read_marker(out, marker):
            _refuse_other(out, before, wanted)
    elif resume and complete:
        raise UsageError(f"{out}: this corpus is complete; there is nothing to resume")
    elif not (overwrite and (unfinished or complete)):
        ours = "choose another folder, or add --overwrite or --resume"
        remedy = ours if unfinished or complete else "choose another folder"
        raise UsageError(f"{out}: already holds something; {remedy}")


@contextmanager
def only_writer(out: Folder) -> Iterator[None]:
    """Have `out` for this process; where its folders have no locks, `refuse_overtaken` says who was first.

    Raises:
        UsageError: it can be told that nothing can be written there, or another process is writing there.
    """
    try:
        if out.is_file():
            raise UsageError(f"{out}: is a file; give --out a folder")
        if why := out.unwritable():
            raise UsageError(f"{out}: cannot be written ({why}); choose another folder")
    except OSError as error:
        raise _unusable(out, error) from None
    with out.alone() as ours:
        if not ours:
            raise UsageError(f"{out}: another process is writing there; wait for its end, or choose another folder")
        yield


def refuse_overtaken(
    out: Folder, wanted: Mapping[str, Any], marker: str, before: Mapping[str, Any] | None = None
) -> None:
    """Raise JobError when another run has written to `out` since `prepare`; for before a commit.

    Args:
        out: the folder.
        wanted: as this run prepared it, with the file `marker`.
        marker: `BUILD` or `UPDATE`.
        before: the manifest that the commit is to replace, None where there was none.
    """
    there = read_manifest(out) if out.exists(MANIFEST) else None
    present = read_marker(out, marker)
    if present == json.loads(json.dumps(wanted)) and there == before:
        return
    if there is not None and not present:  # nobody else is at it: what this run wrote is in no manifest
        clear(out, there)
    raise JobError(f"{out}: another run has written there meanwhile, and this one's work is dropped; run it again")


def _unusable(out: Folder, error: OSError) -> UsageError:
    return UsageError(f"{out}: cannot be used ({' '.join(str(error).split())[:160]}); choose another folder")


def _refuse_other(out: Folder, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    flat_before, flat_wanted = (
        {**what["settings"], **{name: what[name] for name in what if name not in ("settings", "asked")}}
        for what in (before, wanted)
    )
    differ = sorted(name for name in flat_wanted if flat_before.get(name) != flat_wanted[name])
    if differ:
        was = ", ".join(f"{name} was {flat_before.get(name)!r}" for name in differ)
        raise UsageError(f"{out}: the unfinished run has other settings ({was}); use those, or add --overwrite")


def read_marker(out: Place, marker: str) -> dict[str, Any]:
    """What an unfinished run wanted; empty when there is none."""
    folder = folder_of(out)
    return dict(json.loads(folder.read_text(marker))) if folder.exists(marker) else {}


def prepare(out: Folder, wanted: Mapping[str, Any], marker: str, keep: bool) -> None:
    """Make `out` ready for a run: its folders, and its marker; what is there goes unless `keep`.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        if not keep:
            # Killed amid the clearing, this is an unfinished run without any work, for --resume and --overwrite alike.
            out.write_text(marker, "{}\n")
            out.remove(MANIFEST)
            for kind in KINDS:
                out.remove_folder(kind)
        for kind in KINDS:
            out.make(kind)
        if read_marker(out, marker) != wanted:
            out.write_text(marker, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise _unusable(out, error) from None


def clear(out: Folder, manifest: Mapping[str, Any]) -> None:
    """After a commit: remove the shards that the manifest does not list, left-overs, and last the markers."""
    for kind in KINDS:
        listed = {shard["name"] for shard in manifest["shards"].get(kind, ())}
        for name in set(shard_names(out / kind)) - listed:
            out.remove(f"{kind}/{name}")
    out.sweep()
    for name in (KEPT_OUT, BUILD, UPDATE):
        out.remove(name)
