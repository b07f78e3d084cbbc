"""What each stage was made from and gave, so that the next start knows what it may skip."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.corpus.shards import file_sha256, write_text
from pipelines.errors import UsageError


class State:
    """The file `stages.json` of a workflow's folder; a stage is noted only when it is whole."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError when the file is damaged."""
        self._file = folder / "stages.json"
        try:
            self._noted: dict[str, dict[str, str]] = json.loads(self._file.read_text()) if self._file.exists() else {}
        except ValueError:
            raise UsageError(f"{self._file}: damaged; delete it, and the stages are looked at anew") from None

    def is_current(self, stage: str, inputs: Mapping[str, Any], output: Path) -> bool:
        """Whether `stage` was made from `inputs` and its `output` is as it was then."""
        noted = self._noted.get(stage)
        return noted is not None and noted == {"inputs": digest(inputs), "output": digest_of_output(output)}

    def note(self, stage: str, inputs: Mapping[str, Any], output: Path) -> None:
        """Note that `stage` made `output` from `inputs`."""
        self._noted[stage] = {"inputs": digest(inputs), "output": digest_of_output(output)}
        write_text(self._file, json.dumps(self._noted, indent=1, sort_keys=True) + "\n")

    def forget(self, stages: list[str]) -> None:
        """Let these stages run again."""
        for stage in stages:
            self._noted.pop(stage, None)
        write_text(self._file, json.dumps(self._noted, indent=1, sort_keys=True) + "\n")


def digest(inputs: Mapping[str, Any]) -> str:
    """Hex sha256 of canonical JSON."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_output(output: Path) -> str:
    """Hex sha256 of a file, or of the names and digests of a folder's files that say what the folder holds.

    A corpus's manifest and an exported model's weights stand for the rest: the digests of the rest are in the one, and
    nothing but the other is large. Empty where there is nothing.
    """
    if output.is_file():
        return file_sha256(output)
    if (output / "manifest.json").is_file():
        return str(json.loads((output / "manifest.json").read_text())["corpus_digest"])
    folder = output / "model" if (output / "model").is_dir() else output
    files = sorted(file for file in folder.glob("*") if file.is_file()) if folder.is_dir() else []
    return digest({file.name: file_sha256(file) for file in files}) if files else ""
