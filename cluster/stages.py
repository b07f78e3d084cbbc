"""Numbered stages of a long journey: what runs now, how long it took, what it wrote."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

MINUTE = 60.0


class Stages:
    """Announces each stage as it starts and closes it with its seconds and its result.

    Args:
        titles: the stages, in the order in which they run.
        stream: where the lines go; standard error when None, so that a result can be piped.
    """

    def __init__(self, titles: list[str], stream: TextIO | None = None) -> None:
        self._titles, self._stream = titles, stream
        self._started = time.monotonic()
        self._width = max(map(len, titles))
        self._result = ""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Run one stage; a failure is announced with the stage's name and goes on upwards."""
        place = f"[{self._titles.index(title) + 1}/{len(self._titles)}]"
        self._print(f"{place} {title} ...")
        self._result, started = "", time.monotonic()
        try:
            yield
        except BaseException:
            self._print(f"{place} {title:<{self._width}}  failed after {duration(time.monotonic() - started)}")
            raise
        self.seconds[title] = time.monotonic() - started
        self._print(f"{place} {title:<{self._width}}  {duration(self.seconds[title]):>8}  {self._result}".rstrip())

    def wrote(self, result: str) -> None:
        """Set what the running stage has to show for itself."""
        self._result = result

    @property
    def total_seconds(self) -> float:
        """Seconds since the first stage."""
        return time.monotonic() - self._started

    def _print(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a time as a person says it: 4.2 s, 3 min 07 s."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE):02d} s"
