"""Errors of writing that name the file that was asked for, not the temporary one beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named(path: Path, temporary: Path) -> Iterator[None]:
    """Let an OSError of the block that is about `temporary`, or about no file (a full disk), name `path`."""
    try:
        yield
    except OSError as error:
        about = None if error.filename is None else str(error.filename)
        if error.errno is None or not (about is None or about.startswith(str(temporary))):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
