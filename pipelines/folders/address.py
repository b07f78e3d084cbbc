"""From an address to a folder."""

from pathlib import Path

from pipelines.errors import UsageError
from pipelines.folders.clients import SCHEMES
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder
from pipelines.folders.store import StoreFolder

Place = Path | str | Folder


def folder_of(place: Place) -> Folder:
    """The folder at a path or an address (`s3://bucket/key`, `gs://bucket/key`), there or not; a folder is itself.

    Raises:
        UsageError: an address of another kind, or one without a bucket.
    """
    if isinstance(place, Folder):
        return place
    scheme, mark, key = str(place).partition("://")
    if not mark:
        return LocalFolder(Path(place).expanduser().absolute())
    if scheme not in SCHEMES:
        raise UsageError(f"{place}: no folder; give a path, s3://bucket/folder or gs://bucket/folder")
    key = key.strip("/")
    if not key or "//" in key or any(part in (".", "..") for part in key.split("/")):
        raise UsageError(f"{place}: no address of a folder; give {scheme}://bucket/folder")
    return StoreFolder(scheme, key)
