"""Checkpoints that do not know the number of workers: fragments in safetensors, an index in JSON, one atomic commit.

    checkpoints/step-00000042/
      rank-00000.safetensors   fragments held by one rank, "name:start:weight", ":exp_avg", ":exp_avg_sq", float32
      checkpoint.json          facts, each file's size and sha256, each parameter's shape and fragments, its own digest

All ranks write into `step-00000042.partial` and sync; rank 0 then writes the index and renames the folder
(`writer`). A folder with the final name is complete; `latest` names the newest. On reading, every byte is
checked against its sha256.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from cluster.engine.exchange import Exchange
from cluster.engine.zero import MOMENTS
from pipelines.corpus.shards import file_sha256

FORMAT = 1
INDEX = "checkpoint.json"
STATE = ("weight", *MOMENTS)
PARTIAL, DAMAGED = ".partial", ".damaged"


class DamagedError(Exception):
    """A checkpoint is not what was written; the message names the file."""


class Piece(NamedTuple):
    """Where elements start .. start + length of a flattened parameter lie."""

    start: int
    length: int
    file: str


def index_text(
    ranks: Sequence[Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]], facts: Mapping[str, Any]
) -> str:
    """What checkpoint.json says.

    Args:
        ranks: each rank's file: name, bytes, sha256, and pieces (parameter, start, length).
        shapes: of every parameter.
        facts: the step and further JSON values.

    Raises:
        ValueError: the pieces do not make up the parameters.
    """
    parameters: dict[str, Any] = {name: {"shape": list(shape), "pieces": []} for name, shape in shapes.items()}
    for rank in ranks:
        for name, start, length in rank["pieces"]:
            parameters[name]["pieces"].append([start, length, rank["name"]])
    for name, entry in parameters.items():
        entry["pieces"].sort()
        elements = torch.Size(entry["shape"]).numel()
        if sum(length for _, length, _ in entry["pieces"]) != elements:
            raise ValueError(f"the fragments of {name} do not make up its {elements} elements")
    files = [{key: rank[key] for key in ("name", "bytes", "sha256")} for rank in ranks]
    body = {"format": FORMAT, **facts, "files": files, "parameters": parameters}
    return json.dumps({**body, "digest": _digest(body)}, indent=1, sort_keys=True) + "\n"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints under `folder`, newest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if re.fullmatch(r"step-\d{8}", path.name)), reverse=True)


def newest_facts(folder: Path) -> dict[str, Any] | None:
    """The index of the newest checkpoint under `folder` whose index is good, its files unread; None without one."""
    for path in complete(folder):
        try:
            return Checkpoint(path).index
        except DamagedError:
            continue
    return None


class Checkpoint:
    """A complete checkpoint, for reading.

    Attributes:
        path: its folder.
        index: the parsed checkpoint.json.
        step: optimizer steps done.

    Raises:
        DamagedError: the index is missing, damaged or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.index: dict[str, Any] = json.loads((path / INDEX).read_text(encoding="utf-8"))
            digest = self.index.pop("digest")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{path / INDEX} cannot be read ({error})") from None
        if digest != _digest(self.index) or self.index["format"] != FORMAT:
            raise DamagedError(f"{path / INDEX} is damaged or of another format")
        self.step = int(self.index["step"])
        self._open: dict[str, Any] = {}

    def verify(self, part: int = 0, parts: int = 1) -> None:
        """Check the sha256 of every file, or of share `part` of `parts` where several ranks divide the work.

        Raises:
            DamagedError: a file is missing or its bytes differ.
        """
        for file in self.index["files"][part::parts]:
            path = self.path / file["name"]
            if not path.is_file():
                raise DamagedError(f"{path} is missing")
            if path.stat().st_size != file["bytes"] or file_sha256(path) != file["sha256"]:
                raise DamagedError(f"{path} is damaged: its bytes are not those that were written")

    def read(self, name: str, start: int, length: int, keys: Iterable[str] = STATE) -> dict[str, Tensor]:
        """Elements start .. start + length of parameter `name`, flattened: float32 [length] for each of `keys`."""
        out = {key: torch.empty(length) for key in keys}
        for piece in map(Piece._make, self.index["parameters"][name]["pieces"]):
            first, end = max(start, piece.start), min(start + length, piece.start + piece.length)
            if first < end:
                if piece.file not in self._open:
                    self._open[piece.file] = safe_open(self.path / piece.file, framework="pt")
                for key, values in out.items():
                    stored = self._open[piece.file].get_slice(f"{name}:{piece.start}:{key}")
                    values[first - start : end - start] = stored[first - piece.start : end - piece.start]
        return out

    def weights(self) -> dict[str, Tensor]:
        """Every parameter's float32 weights in its shape."""
        return {
            name: self.read(name, 0, torch.Size(entry["shape"]).numel(), ("weight",))["weight"].view(entry["shape"])
            for name, entry in self.index["parameters"].items()
        }


def newest_good(folder: Path, exchange: Exchange | None = None) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose every byte is right, and what was wrong with newer ones.

    Where several ranks ask, each checks its share of the files and all get the same answer; a damaged one is then set
    aside under another name.
    """
    complaints: list[str] = []
    for path in complete(folder):
        complaint, checkpoint = "", None
        try:
            checkpoint = Checkpoint(path)
            checkpoint.verify(exchange.rank if exchange else 0, exchange.world_size if exchange else 1)
        except DamagedError as error:
            complaint = str(error)
        found = list(filter(None, exchange.all(complaint) if exchange else [complaint]))
        if not found:
            return checkpoint, complaints
        complaints.append(found[0])
        if exchange and exchange.rank == 0:
            shutil.rmtree(path.with_name(path.name + DAMAGED), ignore_errors=True)
            path.rename(path.with_name(path.name + DAMAGED))
    return None, complaints
