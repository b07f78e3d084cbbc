"""Ends a run that hangs: when no step ends in time, the stacks of all threads of every rank go to files.

A rank hangs in a collective call because another one does, so each rank watches itself, and all notice together. A
thread says so, writes the stacks, and ends the process. Where a hanging library call keeps the interpreter's lock, and
with it that thread, a timer below the interpreter writes the stacks and ends the process a little later.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

GRACE_S = 2.0  # between stacks and end: a rank that ends takes the others with it, which are to write theirs too


class Watchdog:
    """Expects a `beat` at least every `timeout_s` seconds, else writes stacks and ends this process with code 1.

    Args:
        stacks: folder for rank-N.txt, which keeps what earlier starts of the rank left there.
        rank: of this process.
        timeout_s: longest silence.
        hung: called with one line about the hang, shortly before the end.
    """

    def __init__(self, stacks: Path, rank: int, timeout_s: float, hung: Callable[[str], None]) -> None:
        stacks.mkdir(exist_ok=True)
        self._path = stacks / f"rank-{rank}.txt"
        self._file = self._path.open("a")
        self._rank, self._timeout_s, self._hung = rank, timeout_s, hung
        self._closed = threading.Event()
        self.beat("start")
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self, doing: str) -> None:
        """Say that this rank is alive, and what it does next."""
        self._doing, self._last = doing, time.monotonic()
        faulthandler.dump_traceback_later(self._timeout_s + 2 * GRACE_S, file=self._file, exit=True)

    def _watch(self) -> None:
        while not self._closed.wait(max(0.05, self._last + self._timeout_s - time.monotonic())):
            if time.monotonic() - self._last < self._timeout_s:
                continue
            text = (
                f"rank {self._rank} hangs in {self._doing}: nothing ended for hang_timeout_s = {self._timeout_s:g} s; "
                f"stacks of all threads in {self._path.parent}"
            )
            print(text, file=sys.stderr, flush=True)
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=self._file, flush=True)
            faulthandler.dump_traceback(self._file)
            self._hung(text)
            time.sleep(GRACE_S)
            os._exit(1)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        if not self._path.stat().st_size:
            self._path.unlink()
