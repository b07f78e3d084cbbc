"""Errors of writing that name the file or folder that was asked for, not the temporary one beside it."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# safetensors and tokenizers raise errors of their own, with this at the end.
_OF_RUST = re.compile(r"\(os error (\d+)\)")


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
    except Exception as error:
        if not (found := _OF_RUST.search(str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, for the block to fill and to move; what the block has not moved is removed."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}."
    with named(out, out.with_name(prefix)):
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        try:
            temporary.chmod(0o755)
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def clear_beside(out: Path) -> None:
    """Remove what killed processes left of the temporary folders beside `out`; nobody else may be writing there."""
    for left in out.parent.glob(f".{out.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
