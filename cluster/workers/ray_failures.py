"""When Ray Train starts again: budgets of their own for lost workers and for errors of the program."""

from ray.exceptions import RayActorError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision, FailurePolicy

from cluster.runs.folder import RunFolder, newest_step

DEATHS = (RayActorError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)


class Budgets(FailurePolicy):  # type: ignore[misc]
    """Lets a run start again after losses until none of `max_losses` in a row brought a new checkpoint.

    An error of the program (one that a worker noted) has a budget of its own, which nothing fills up again. Waiting
    for machines costs nothing.

    Args:
        run: the run's folder.
        max_losses, max_errors: the budgets.
    """

    def __init__(self, run: str, max_losses: int, max_errors: int) -> None:
        self._run, self._max_losses, self._max_errors = RunFolder(run), max_losses, max_errors
        self._losses = self._errors = 0
        self._step: int | None = None

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        """Start again or end the run, put on record as event "again" or "error"."""
        if isinstance(training_failed_error, ControllerError):
            cause = training_failed_error.controller_failure
            if isinstance(cause, WorkerGroupStartupTimeoutError):
                return FailureDecision.RETRY
            if not isinstance(cause, WorkerGroupStartupFailedError):
                return FailureDecision.RAISE
        errors = self._run.noted_in_attempt("error")
        if errors and not _died(training_failed_error):
            return self._after_error(errors[0]["text"])
        return self._after_loss(_reasons(training_failed_error))

    def _after_error(self, text: str) -> FailureDecision:
        self._errors += 1
        if self._errors > self._max_errors:
            return FailureDecision.RAISE
        self._run.note("again", f"error {self._errors} of max_errors = {self._max_errors}: {text}; starts again")
        return FailureDecision.RETRY

    def _after_loss(self, reasons: dict[str, str]) -> FailureDecision:
        step = newest_step(self._run)
        self._losses = 1 if step != self._step else self._losses + 1
        self._step = step
        done = f"from step {step}" if step else "from the beginning"
        if self._losses > self._max_losses:
            text = f"{self._losses} lost workers in a row without a new checkpoint: max_losses is {self._max_losses}"
            self._run.note("error", text, usage=False, reasons=reasons)
            return FailureDecision.RAISE
        self._run.note("again", f"a worker was lost or left: starts again {done}", step=step or 0, reasons=reasons)
        return FailureDecision.RETRY


def _reasons(error: TrainingFailedError) -> dict[str, str]:
    """What Ray Train says of each rank that failed, in short."""
    failures = error.worker_failures if isinstance(error, WorkerGroupError) else {"all": error}
    return {str(rank): " ".join(str(failure).split())[-300:] for rank, failure in failures.items()}


def _died(error: TrainingFailedError) -> bool:
    """Whether a worker's process or machine is gone, which explains errors of the others."""
    return isinstance(error, WorkerGroupError) and any(isinstance(e, DEATHS) for e in error.worker_failures.values())
