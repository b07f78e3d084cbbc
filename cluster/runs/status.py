"""How one folder stands, a corpus or a run: the state of what made it, how far it is, and what to do next."""

import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cluster.runs.folder import RunFolder
from cluster.runs.listing import look_at
from pipelines.building.output import BUILD, UPDATE
from pipelines.corpus.reader import MANIFEST, read_manifest
from pipelines.corpus.shards import shard_names
from pipelines.errors import UsageError

# A build that has written nothing for so long is not at work: a shard takes minutes at most.
QUIET_S = 600.0


def status(folder: Path) -> dict[str, Any]:
    """What is in `folder` and how it stands, as plain values.

    Raises:
        UsageError: it holds neither a corpus nor a run.
    """
    if RunFolder(folder).facts.is_file():
        return {"kind": "run", **look_at(RunFolder(folder)).as_dict()}
    if any((folder / name).is_file() for name in (MANIFEST, BUILD, UPDATE)):
        return {"kind": "corpus", **_corpus(folder)}
    raise UsageError(f"{folder}: holds neither a corpus nor a run")


def _corpus(folder: Path) -> dict[str, Any]:
    marker = next((name for name in (BUILD, UPDATE) if (folder / name).is_file()), None)
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
    files = [folder / "pages" / name for name in shard_names(folder / "pages")]
    newest = max((file.stat().st_mtime for file in [*files, folder / marker]), default=0.0)
    quiet = time.time() - newest
    again = "docformer corpus build ... --resume" if marker == BUILD else f"docformer corpus update {folder}"
    return {
        "corpus": str(folder),
        "state": "being built" if quiet < QUIET_S else "unfinished",
        "pages": sum(pq.read_metadata(file).num_rows for file in files),
        "shards": len(files),
        "seconds_since_last_shard": round(quiet, 1),
        "if_stopped": f"go on with: {again}",
    }
