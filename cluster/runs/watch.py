"""Follows a run's files while its workers train: a progress bar, held-out scores as they come, trouble in one line."""

from types import TracebackType
from typing import Any, Self

from cluster.runs.folder import RunFolder
from cluster.runs.json_lines import JsonLines
from pipelines.progress import Progress

SHOWN_EVENTS = frozenset(
    {"start", "largest", "damaged", "hint", "trouble", "hang", "end"} | {"leaving", "again", "waiting", "resize"}
)


class Watch:
    """Shows the progress of a run; `look` now and then.

    Args:
        run: to follow.
        steps: where it ends.

    Attributes:
        scores: the newest held-out line of metrics.jsonl.
    """

    def __init__(self, run: RunFolder, steps: int) -> None:
        self.scores: dict[str, Any] = {}
        self._metrics, self._events = JsonLines(run.metrics), JsonLines(run.events)
        self._shown, self._scored = 0, -1
        for line in self._metrics.new():
            self._take(line)
        self._events.new()
        self._progress = Progress("pretraining", steps, "step")
        self._progress.start_at(self._shown)

    def _take(self, line: dict[str, Any]) -> bool:
        if line.get("split") == "eval":
            self.scores = line
            self._scored = max(self._scored, int(line["step"]))
            return True
        self._shown = max(self._shown, int(line["step"]))
        return False

    def look(self) -> None:
        """Show what is new since the last look."""
        events = [event for event in self._events.new() if event["kind"] in SHOWN_EVENTS]
        for event in events:
            if event["kind"] != "end":
                self._progress.say(event["text"])
        for line in self._metrics.new():
            before, scored = self._shown, self._scored
            if self._take(line):
                if self._scored > scored:  # a resume writes the file anew, with the lines that were shown
                    self._progress.say(_scores_line(line))
            elif self._shown > before:
                self._progress.advance(self._shown - before, _note(line))
        for event in events:
            if event["kind"] == "end":
                self._progress.say(event["text"])

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        self._progress.__exit__(kind, error, trace)


def _note(line: dict[str, Any]) -> str:
    return f"loss {_figure(line['loss'])}, {line['samples_per_second']:.1f} samples/s"


def _scores_line(line: dict[str, Any]) -> str:
    return (
        f"held out, step {line['step']}: loss {_figure(line['loss'])} (text {_figure(line['loss_dlm_text'])}, unigram "
        f"{_figure(line['unigram_dlm_text'])}), line {_figure(line['acc_line'])}, grid {_figure(line['acc_grid'])}"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
