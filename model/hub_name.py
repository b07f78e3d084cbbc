"""Telling a path from a name on the hub: a mistyped path is refused at once, not asked for over the net."""

from pathlib import Path


def is_path(name: str) -> bool:
    """Whether `name` can only be a path: by its form, or because it, or the folder it would be in, is here.

    A hub name is NAME or OWNER/NAME.
    """
    path = Path(name).expanduser()
    formed = path.is_absolute() or name.startswith((".", "~")) or name.endswith("/") or name.count("/") > 1
    return formed or path.exists() or ("/" in name and path.parent.is_dir())
