"""The output folder: who may write to it, what an unfinished run leaves there, and what is cleared away at the end."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.building.jobs import KEPT_OUT
from pipelines.corpus.parts import KINDS
from pipelines.corpus.reader import MANIFEST
from pipelines.corpus.shards import TEMPORARY, shard_names, write_text
from pipelines.errors import UsageError

BUILD, UPDATE = "build.json", "update.json"


def refuse(out: Path, wanted: Mapping[str, Any], marker: str, resume: bool, overwrite: bool) -> None:
    """Raise UsageError when a run that wants `wanted` may not use folder `out`; nothing is touched.

    Args:
        out: the folder.
        wanted: what the run is to do; an unfinished run is resumed only to the same end.
        marker: the file that an unfinished run of this kind leaves, `BUILD` or `UPDATE`.
        resume: whether to finish such a run.
        overwrite: whether to replace the corpus that is there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; give --out a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    unfinished, complete = (out / marker).is_file(), (out / MANIFEST).is_file()
    if resume and unfinished:
        _refuse_other(out, read_marker(out, marker), wanted)
    elif resume and complete:
        raise UsageError(f"{out}: this corpus is complete; there is nothing to resume")
    elif not (overwrite and (unfinished or complete)):
        ours = "choose another folder, or add --overwrite or --resume"
        remedy = ours if unfinished or complete else "choose another folder"
        raise UsageError(f"{out}: already holds something; {remedy}")


def _refuse_other(out: Path, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    flat_before, flat_wanted = (
        {**what["settings"], **{name: what[name] for name in what if name not in ("settings", "asked")}}
        for what in (before, wanted)
    )
    differ = sorted(name for name in flat_wanted if flat_before.get(name) != flat_wanted[name])
    if differ:
        was = ", ".join(f"{name} was {flat_before.get(name)!r}" for name in differ)
        raise UsageError(f"{out}: the unfinished run has other settings ({was}); use those, or add --overwrite")


def read_marker(out: Path, marker: str) -> dict[str, Any]:
    """What an unfinished run wanted; empty when there is none."""
    file = out / marker
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def prepare(out: Path, wanted: Mapping[str, Any], marker: str, keep: bool) -> None:
    """Make `out` ready for a run: its folders, and its marker; what is there goes unless `keep`."""
    if not keep:
        (out / MANIFEST).unlink(missing_ok=True)
        for kind in KINDS:
            shutil.rmtree(out / kind, ignore_errors=True)
    for kind in KINDS:
        (out / kind).mkdir(parents=True, exist_ok=True)
    if read_marker(out, marker) != wanted:
        write_text(out / marker, json.dumps(wanted, indent=1, sort_keys=True) + "\n")


def clear(out: Path, manifest: Mapping[str, Any]) -> None:
    """After a commit: remove the shards that the manifest does not list, left-overs, and last the markers."""
    for kind in KINDS:
        listed = {shard["name"] for shard in manifest["shards"].get(kind, ())}
        for name in set(shard_names(out / kind)) - listed:
            (out / kind / name).unlink()
    for left in out.rglob(f"*{TEMPORARY}"):
        left.unlink()
    (out / KEPT_OUT).unlink(missing_ok=True)
    for marker in (BUILD, UPDATE):
        (out / marker).unlink(missing_ok=True)
