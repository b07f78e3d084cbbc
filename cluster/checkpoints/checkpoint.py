"""Checkpoints that do not know the number of workers: fragments in safetensors, an index in JSON, one atomic commit.

    checkpoints/step-00000042/
      rank-00000.safetensors   fragments held by one rank, "name:start:weight", ":exp_avg", ":exp_avg_sq", float32
      checkpoint.json          facts, each file's size and sha256, each parameter's shape and fragments, its own digest

All ranks write and sync their files; rank 0's index then makes them a checkpoint (`writer`, `shelf`). On reading, every
byte is checked against its sha256.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from cluster.checkpoints.shelf import INDEX, complete, shelf_of
from cluster.engine.exchange import Exchange
from cluster.engine.zero import MOMENTS
from pipelines.errors import JobError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder

FORMAT = 1
STATE = ("weight", *MOMENTS)


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


def newest_facts(place: Place) -> dict[str, Any] | None:
    """The index of the newest checkpoint at `place` whose index is good, its files unread; None without one."""
    for folder in complete(place):
        try:
            return Checkpoint(folder).index
        except DamagedError:
            continue
    return None


class Checkpoint:
    """A complete checkpoint, for reading.

    Of one in an object store, the files that are verified or read are copied to this machine, for as long as this
    object lives.

    Attributes:
        folder: its folder.
        index: the parsed checkpoint.json.
        step: optimizer steps done.

    Raises:
        DamagedError: the index is missing, damaged or of another format.
        OSError: the disk or store cannot be read.
    """

    def __init__(self, place: Place) -> None:
        self.folder: Folder = folder_of(place)
        where = f"{self.folder}/{INDEX}"
        try:
            self.index: dict[str, Any] = json.loads(self.folder.read_text(INDEX))
            digest = self.index.pop("digest")
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{where} cannot be read ({error})") from None
        if digest != _digest(self.index) or self.index["format"] != FORMAT:
            raise DamagedError(f"{where} is damaged or of another format")
        self.step = int(self.index["step"])
        self._files = {file["name"]: file for file in self.index["files"]}
        self._open: dict[str, Any] = {}
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        if not isinstance(self.folder, LocalFolder):
            self._copies = tempfile.TemporaryDirectory(prefix="checkpoint-", ignore_cleanup_errors=True)

    def verify(self, part: int = 0, parts: int = 1) -> None:
        """Check the sha256 of every file, or of share `part` of `parts` where several ranks divide the work.

        Raises:
            DamagedError: a file is missing or its bytes differ.
            OSError: the disk or store cannot be read.
        """
        for file in self.index["files"][part::parts]:
            try:
                size, digest = self._measured(file["name"])
            except FileNotFoundError:
                raise DamagedError(f"{self.folder}/{file['name']} is missing") from None
            if (size, digest) != (file["bytes"], file["sha256"]):
                raise DamagedError(
                    f"{self.folder}/{file['name']} is damaged: its bytes are not those that were written"
                )

    def _measured(self, name: str) -> tuple[int, str]:
        """Bytes and hex sha256 of a file as it is here."""
        if self._copies is None:
            return self.folder.size(name), self.folder.sha256(name)
        here = LocalFolder(Path(self._copies.name))
        if not here.exists(name):
            here.bring(name, self.folder)
        return here.size(name), here.sha256(name)

    def _at_hand(self, name: str) -> Path:
        """The file on this machine."""
        if self._copies is None:
            return Path(self.folder.address) / name
        if not (Path(self._copies.name) / name).exists():
            self.verify(list(self._files).index(name), len(self._files))
        return Path(self._copies.name) / name

    def read(self, name: str, start: int, length: int, keys: Iterable[str] = STATE) -> dict[str, Tensor]:
        """Elements start .. start + length of parameter `name`, flattened: float32 [length] for each of `keys`."""
        out = {key: torch.empty(length) for key in keys}
        for piece in map(Piece._make, self.index["parameters"][name]["pieces"]):
            first, end = max(start, piece.start), min(start + length, piece.start + piece.length)
            if first < end:
                if piece.file not in self._open:
                    self._open[piece.file] = safe_open(self._at_hand(piece.file), framework="pt")
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


def newest_good(place: Place, exchange: Exchange | None = None) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint at `place` whose every byte is right, and what was wrong with newer ones.

    Where several ranks ask, each checks its share of the files and all get the same answer; a damaged one is then set
    aside.

    Raises:
        JobError: the disk or store cannot be read.
    """
    complaints: list[str] = []
    shelf = shelf_of(place)
    for folder in shelf.complete():
        complaint, failure, checkpoint = "", "", None
        try:
            checkpoint = Checkpoint(folder)
            checkpoint.verify(exchange.rank if exchange else 0, exchange.world_size if exchange else 1)
        except DamagedError as error:
            complaint = str(error)
        except OSError as error:
            failure = f"{folder}: cannot be read: {error.strerror or error}"
        answers = exchange.all((complaint, failure)) if exchange else [(complaint, failure)]
        failures = [failure for _, failure in answers if failure]
        if failures:
            raise JobError(failures[0])
        found = [complaint for complaint, _ in answers if complaint]
        if not found:
            return checkpoint, complaints
        complaints.append(found[0])
        if exchange and exchange.rank == 0:
            shelf.set_aside(folder)
    return None, complaints
