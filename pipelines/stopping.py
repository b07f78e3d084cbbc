"""SIGTERM ends a command as SIGINT does: by an exception, so that what is open is closed and children end."""

import errno
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.errors import WorkError


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Within the block SIGTERM raises `Terminated` in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


@contextmanager
def ours_kept() -> Iterator[None]:
    """Keep our handler of SIGTERM where the block, which starts Ray, puts another in its place: one that exits."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as stop:
        if ours is _raise and stop.code == signal.SIGTERM:
            raise Terminated from None
        raise
    finally:
        if ours is _raise and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


@contextmanager
def hint_when_stopped(hint: Callable[[], str]) -> Iterator[None]:
    """Raise an interruption of the block on with the line that `hint` gives; failed work and a full disk with it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(hint()) from None
    except WorkError as error:
        raise WorkError(f"{error}; {hint()}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WorkError(f"{error.filename or 'writing'}: {error.strerror}; {hint()}") from None
