"""The corpora of a run: opened by their manifests, told apart by fingerprints."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.samples.mixture import WeightedCorpus
from pipelines.corpus.reader import read_manifest
from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
from pipelines.folders.folder import Folder

GRID = ("grid_rows", "grid_columns")


@dataclass(frozen=True)
class Corpora:
    """One or more corpora that are trained on together.

    Attributes:
        paths: their folders.
        weights: of each beside the others.
        manifests: the parsed manifest.json of each.
    """

    paths: tuple[Folder, ...]
    weights: tuple[float, ...]
    manifests: tuple[Mapping[str, Any], ...]

    @classmethod
    def open(cls, corpora: Sequence[WeightedCorpus]) -> "Corpora":
        """Read the manifests, and nothing else.

        Raises:
            UsageError: a folder holds no complete corpus or no page, or the grids differ.
        """
        paths = tuple(folder_of(corpus.path) for corpus in corpora)
        opened = cls(paths, tuple(corpus.weight for corpus in corpora), tuple(map(read_manifest, paths)))
        for path, manifest in zip(paths, opened.manifests, strict=True):
            if not manifest["totals"]["pages"]:
                raise UsageError(f"{path}: holds no page to train on")
            grid, first = ([entry["settings"][name] for name in GRID] for entry in (manifest, opened.manifests[0]))
            if grid != first:
                raise UsageError(
                    f"{path}: its grid is {grid[0]} x {grid[1]}, that of {paths[0]} {first[0]} x {first[1]}; "
                    "mix corpora that were built with one grid"
                )
        return opened

    @property
    def grid(self) -> dict[str, int]:
        """`grid_rows` and `grid_columns`, the same for all."""
        return {name: int(self.manifests[0]["settings"][name]) for name in GRID}

    def shares(self) -> str:
        """In words, which part of the samples each corpus gives."""
        whole = sum(self.weights)
        parts = [f"{weight / whole:.3g} of {path}" for weight, path in zip(self.weights, self.paths, strict=True)]
        return f"samples: {', '.join(parts)} (FOLDER=WEIGHT; without a weight it is 1, whatever the pages)"

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """What the order of samples follows from, by each corpus's number from 1.

        `digest` is of its content, `shards` of the files that it lies in (the same content cut otherwise has another
        order), `share` its part of the samples.
        """
        return {
            str(number): {
                "digest": manifest["corpus_digest"],
                "shards": _shards_digest(manifest),
                "share": round(weight / sum(self.weights), 9),
            }
            for number, (weight, manifest) in enumerate(zip(self.weights, self.manifests, strict=True), 1)
        }


def _shards_digest(manifest: Mapping[str, Any]) -> str:
    listed = [[shard["name"], shard["rows"], shard["sha256"]] for shard in manifest["shards"]["pages"]]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
