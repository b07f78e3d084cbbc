"""A progress bar on a terminal, plain or JSON lines elsewhere; what is finished is counted for Ray's exporter too."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from pipelines import meters
from pipelines.log_line import as_objects, log_line
from pipelines.run_id import run_id

PLAIN_INTERVAL_S = 10.0


class Progress:
    """Counts finished units of one named piece of work on standard error.

    On a terminal this is a tqdm bar; elsewhere (a log file, CI, a cluster job) it is one plain line at most every
    `PLAIN_INTERVAL_S` seconds and one at the end, so that logs stay readable. With DOCFORMER_LOG=json each line is an
    object with time, run and stage, for a log collector.

    Args:
        title: what is being done, e.g. "corpus".
        total: number of units, or None when it is not known.
        unit: name of one unit, e.g. "page".
    """

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, 0
        self._started = self._last_line = time.monotonic()
        self._before, self._note = 0, ""
        bar = sys.stderr.isatty() and not as_objects()
        self._bar = tqdm(total=total, desc=title, unit=f" {unit}", dynamic_ncols=True) if bar else None

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more finished units; `note` (e.g. "loss 3.21") replaces the text shown after the rate."""
        self.done += count
        meters.add(meters.FINISHED, count, run_id(), stage=self.title, unit=self.unit)
        if note is not None:
            self._note = note
        if self._bar is not None:
            if note is not None:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL_S:
            self._print_line()

    def start_at(self, done: int) -> None:
        """Say that `done` units were finished before; they do not count for the rate."""
        self.done = self._before = done
        if self._bar is not None:
            self._bar.initial = self._bar.n = done
            self._bar.refresh()

    def say(self, text: str) -> None:
        """Print a line of its own, above the bar on a terminal."""
        if self._bar is not None:
            self._bar.write(f"{self.title}: {text}", file=sys.stderr)
        else:
            log_line(self.title, f"{self.title}: {text}", text=text)

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        seconds = self._last_line - self._started
        rate = (self.done - self._before) / seconds if seconds > 0 else 0.0
        of_total = f"/{self.total}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total is not None and rate > 0 else ""
        note = f", {self._note}" if self._note else ""
        log_line(
            self.title,
            f"{self.title}: {self.done}{of_total} {self.unit}s, {rate:.1f} {self.unit}s/s{left}{note}",
            done=self.done,
            total=self.total,
            unit=self.unit,
            rate=round(rate, 3),
            note=self._note,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._print_line()
