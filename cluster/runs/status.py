"""How one folder stands, a corpus or a run: the state of what made it, how far it is, and what to do next."""

import time
from contextlib import suppress
from typing import Any

from cluster.runs.folder import RunFolder
from cluster.runs.listing import look_at
from pipelines.building.output import BUILD, UPDATE
from pipelines.corpus.reader import MANIFEST, open_parquet, read_manifest
from pipelines.corpus.shards import shard_names
from pipelines.errors import UsageError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder

# A build that has written nothing for so long is not at work: a shard takes minutes at most.
QUIET_S = 600.0


def status(place: Place) -> dict[str, Any]:
    """What is in a folder and how it stands, as plain values.

    Raises:
        UsageError: it holds neither a corpus nor a run.
    """
    folder = folder_of(place)
    if isinstance(folder, LocalFolder) and RunFolder(folder.path).facts.is_file():
        return {"kind": "run", **look_at(RunFolder(folder.path)).as_dict()}
    if not any(folder.exists(name) for name in (MANIFEST, BUILD, UPDATE)):
        raise UsageError(f"{folder}: holds neither a corpus nor a run")
    with suppress(FileNotFoundError):
        return {"kind": "corpus", **_corpus(folder)}
    return {"kind": "corpus", **_corpus(folder)}  # a commit cleared away what it does not list


def _corpus(folder: Folder) -> dict[str, Any]:
    marker = next((name for name in (BUILD, UPDATE) if folder.exists(name)), None)
    if marker is None:
        totals = read_manifest(folder)["totals"]
        return {
            "corpus": str(folder),
            "state": "complete",
            "pages": totals["pages"],
            "words": totals["words"],
            "documents": totals["documents"],
            "quarantine_reasons": totals["quarantine_reasons"],
        }
    files = [f"pages/{name}" for name in shard_names(folder / "pages")]
    quiet = time.time() - max(folder.changed(file) for file in [*files, marker]) / 1e9
    again = "docformer corpus build ... --resume" if marker == BUILD else f"docformer corpus update {folder}"
    return {
        "corpus": str(folder),
        "state": "being built" if quiet < QUIET_S else "unfinished",
        "pages": sum(open_parquet(folder, file).metadata.num_rows for file in files),
        "shards": len(files),
        "seconds_since_last_shard": round(quiet, 1),
        "if_stopped": f"go on with: {again}",
    }
