"""What a run does about SIGINT and SIGTERM: it asks its workers to end, and waits while they have something to save."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from cluster.runs.folder import RunFolder

POLL_S = 0.5
# Workers that have not started have nothing to save.
PATIENCE_BEFORE_START_S = 1.0


@contextmanager
def stop_on_signal(run: RunFolder) -> Iterator[list[signal.Signals]]:
    """Turn the first SIGINT or SIGTERM into a request to the workers; the second has its usual effect.

    Yields a list that holds the signal once it came.
    """
    asked: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        signal.alarm(0)  # Ray's own handler, should it have been first, would abort the process after 3 s
        asked.append(signal.Signals(number))
        name = asked[0].name
        run.stop.write_text(name)
        print(f"{name}: saving a checkpoint, then ending; once more to end at once", file=sys.stderr, flush=True)
        for each in usual:
            signal.signal(each, signal.SIG_DFL)

    for number in usual:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def patience_s(run: RunFolder, notice_s: float) -> float:
    """How long after a signal the workers are waited for: `notice_s`, less where none has started."""
    return notice_s if run.noted_in_attempt("start") else min(notice_s, PATIENCE_BEFORE_START_S)


def in_thread(
    work: Callable[[], None], look: Callable[[], None], stop: Sequence[signal.Signals], patience: Callable[[], float]
) -> BaseException | None:
    """Run `work` in a thread, so that this one stays free for signals and progress; returns what it raised.

    It is waited for no longer than `patience` says after `stop` holds a signal; `look` is called now and then.
    """
    raised: list[BaseException] = []

    def call() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, name="training", daemon=True)
    thread.start()
    asked: float | None = None
    while thread.is_alive() and (asked is None or time.monotonic() < asked + patience()):
        thread.join(POLL_S)
        look()
        if stop and asked is None:
            asked = time.monotonic()
    return raised[0] if raised else None
