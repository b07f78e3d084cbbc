"""Where a run's checkpoints stand, and what makes one of them complete: on disk a rename, in an object store its index.

On disk the ranks write into `step-00000042.partial`; the commit writes the index there and renames the folder. A store
renames nothing: the ranks write into `step-00000042` itself, and without an index, which is written last and appears
whole, it is no checkpoint.
"""

import re
import shutil
from abc import ABC, abstractmethod

from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder, sync_folder

INDEX = "checkpoint.json"
PARTIAL, DAMAGED = ".partial", ".damaged"
NAME = re.compile(r"step-\d{8}")


class Shelf(ABC):
    """The checkpoints under one folder."""

    @abstractmethod
    def complete(self) -> list[Folder]:
        """The complete checkpoints, newest first."""

    @abstractmethod
    def begun(self, step: int) -> Folder:
        """Where the files of the checkpoint `step` are written before it is complete."""

    @abstractmethod
    def commit(self, step: int, index: str) -> None:
        """Make what was written for `step` a checkpoint, in place of any damaged one of that step."""

    @abstractmethod
    def set_aside(self, checkpoint: Folder) -> None:
        """Let a damaged checkpoint count no more, without deleting it."""

    @abstractmethod
    def remove(self, checkpoint: Folder) -> None:
        """Delete a checkpoint; killed meanwhile, it is not complete any more."""

    @abstractmethod
    def clear(self) -> None:
        """Delete what was begun and is not complete; nothing may be writing."""


class DiskShelf(Shelf):
    """Checkpoints on a disk.

    Args:
        folder: that holds them, there or not.
    """

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder

    def complete(self) -> list[Folder]:
        """The folders with a final name."""
        return [self._folder / name for name in reversed(self._folder.folders()) if NAME.fullmatch(name)]

    def begun(self, step: int) -> Folder:
        """A folder beside the final one."""
        return self._folder / f"{_name(step)}{PARTIAL}"

    def commit(self, step: int, index: str) -> None:
        """Write the index and rename the folder."""
        partial, final = self._folder.path / f"{_name(step)}{PARTIAL}", self._folder.path / _name(step)
        LocalFolder(partial).write_text(INDEX, index)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        sync_folder(self._folder.path)

    def set_aside(self, checkpoint: Folder) -> None:
        """Rename it."""
        path = self._folder.path / checkpoint.name
        aside = path.with_name(path.name + DAMAGED)
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)

    def remove(self, checkpoint: Folder) -> None:
        """Rename it to an unfinished one, then delete that."""
        path = self._folder.path / checkpoint.name
        shutil.rmtree(path.rename(path.with_name(path.name + PARTIAL)))

    def clear(self) -> None:
        """Delete the unfinished folders."""
        for name in self._folder.folders():
            if name.endswith(PARTIAL):
                self._folder.remove_folder(name)


class StoreShelf(Shelf):
    """Checkpoints in an object store.

    Args:
        folder: whose key their keys begin with.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def complete(self) -> list[Folder]:
        """Those with an index."""
        return [self._folder / name for name in reversed(self._names()) if self._folder.exists(f"{name}/{INDEX}")]

    def begun(self, step: int) -> Folder:
        """The final one, which no index makes a checkpoint yet."""
        return self._folder / _name(step)

    def commit(self, step: int, index: str) -> None:
        """Write the index."""
        self.begun(step).write_text(INDEX, index)

    def set_aside(self, checkpoint: Folder) -> None:
        """Give its index another name."""
        checkpoint.bring(INDEX + DAMAGED, checkpoint)
        checkpoint.remove(INDEX)

    def remove(self, checkpoint: Folder) -> None:
        """Delete the index, then the rest."""
        checkpoint.remove(INDEX)
        checkpoint.remove_folder()

    def clear(self) -> None:
        """Delete what has no index, neither a good nor a damaged one."""
        for folder in (self._folder / name for name in self._names()):
            if not {INDEX, INDEX + DAMAGED} & set(folder.names()):
                folder.remove_folder()

    def _names(self) -> list[str]:
        return [name for name in self._folder.folders() if NAME.fullmatch(name)]


def shelf_of(place: Place) -> Shelf:
    """The checkpoints at a path or an address.

    Raises:
        UsageError: an address of an unknown kind.
    """
    folder = folder_of(place)
    return DiskShelf(folder) if isinstance(folder, LocalFolder) else StoreShelf(folder)


def complete(place: Place) -> list[Folder]:
    """The complete checkpoints at a path or an address, newest first."""
    return shelf_of(place).complete()


def step_of(checkpoint: Folder) -> int:
    """Optimizer steps done, by the folder's name."""
    return int(checkpoint.name.removeprefix("step-"))


def _name(step: int) -> str:
    return f"step-{step:08d}"
