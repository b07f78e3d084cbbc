"""The docformer command of a launch file, and its places, which must be on the storage that outlives the nodes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.jobs.submit import check_command, complete_words
from cluster.options import read_section
from pipelines.errors import UsageError
from pipelines.folders.clients import SCHEMES

# A job that starts again after losing its cluster goes on instead of beginning anew.
RESUMABLE = ("pretrain", "corpus build")


# Where a corpus may lie as well as on the storage.
STORES = tuple(f"{scheme}://" for scheme in SCHEMES)
# The sections whose places a command uses; its own says where its output goes.
PLACES = {"pretrain": ("pretrain",), "corpus": ("corpus",), "run": ("run", "pretrain")}


def command_of(words: list[str], config: Path, mount: str) -> list[str]:
    """`words` (the configuration file's own command when there are none), complete: resumable, its places checked.

    Raises:
        UsageError: not a command for a cluster, or a place that is not below `mount`.
    """
    words = complete_words(words, config)
    check_command(words, config)
    if any(" ".join(words).startswith(command) for command in RESUMABLE) and "--resume" not in words:
        words = [*words, "--resume"]
    for section in PLACES.get(words[0], ()):
        written = read_section(config, section)
        for name in ("corpus", "out", "tokenizer", "init"):
            for place in _places(written, name):
                if "corpus" in (section, name) and place.startswith(STORES):
                    continue
                _check_place(f"{config}, {section}.{name}", place, mount, hub=name in ("tokenizer", "init"))
    if words[0] in PLACES and "--out" not in words and not read_section(config, words[0]).get("out"):
        raise UsageError(f"{config}: {words[0]}.out is not set; give it a folder below {mount}")
    return words


def _places(written: Mapping[str, Any], name: str) -> list[str]:
    value = written.get(name)
    values = value if isinstance(value, list) else [value] if value else []
    return [str(place).rpartition("=")[0] or str(place) for place in values]


def _check_place(what: str, place: str, mount: str, hub: bool) -> None:
    if hub and not place.startswith((".", "/", "~")) and place.count("/") <= 1:
        return  # the name of a model on a hub
    if not Path(place).is_relative_to(mount) or ".." in Path(place).parts:
        raise UsageError(f"{what} = {place!r}: not below {mount}, the storage that outlives the nodes (launch.mount)")
