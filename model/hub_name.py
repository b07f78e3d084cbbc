"""Telling a path from a name on the hub: a mistyped path is refused at once, not asked for over the net."""

from functools import cache
from pathlib import Path

# For the hub's first answer. Its library asks again for minutes, for one file after the other.
PATIENCE_S = 5.0


def is_path(name: str) -> bool:
    """Whether `name` can only be a path: by its form, or because it, or the folder it would be in, is here.

    A hub name is NAME or OWNER/NAME.
    """
    path = Path(name).expanduser()
    formed = path.is_absolute() or name.startswith((".", "~")) or name.endswith("/") or name.count("/") > 1
    return formed or path.exists() or ("/" in name and path.parent.is_dir())


def on_disk_only(name: str) -> bool:
    """Whether `name` is to be looked for on disk alone: it is a folder here, or the hub cannot be reached."""
    return is_path(name) or not _hub_answers()


@cache
def _hub_answers() -> bool:
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE_S)
    except Exception:  # of whichever library it asks with
        return False
    return True
