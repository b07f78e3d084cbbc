"""Numbered stages of a long journey: what runs now, how long it took, what it wrote."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from pipelines.log_line import log_line

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
        self._print(title, f"{place} {title} ...", state="started")
        self._result, started = "", time.monotonic()
        try:
            yield
        except BaseException:
            took = time.monotonic() - started
            text = f"{place} {title:<{self._width}}  failed after {duration(took)}"
            self._print(title, text, state="failed", seconds=round(took, 1))
            raise
        self.seconds[title] = time.monotonic() - started
        took = self.seconds[title]
        text = f"{place} {title:<{self._width}}  {duration(took):>8}  {self._result}".rstrip()
        self._print(title, text, state="done", seconds=round(took, 1), result=self._result)

    def wrote(self, result: str) -> None:
        """Set what the running stage has to show for itself."""
        self._result = result

    @property
    def total_seconds(self) -> float:
        """Seconds since the first stage."""
        return time.monotonic() - self._started

    def _print(self, title: str, line: str, **values: Any) -> None:
        log_line(title, line, self._stream, **values)


def duration(seconds: float) -> str:
    """Return a time as a person says it: 4.2 s, 3 min 07 s."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE):02d} s"
