"""Ray's Jobs API, its troubles turned into one clear line each."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipelines.errors import JobError, UsageError

Answer = TypeVar("Answer")

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
CONNECT_S = 10.0
POLL_S = 0.5
PATIENCE_S = 60.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_HINT = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"  # noqa: S105


@dataclass(frozen=True)
class Job:
    """What the cluster knows of a job.

    Attributes:
        id: names it in every other call.
        state: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        command: docformer command, or another program's entrypoint.
        started, seconds: Unix time, and how long it has been running or ran.
        exit_code: of the command, once it has ended by itself.
        message: the cluster's word on a failure, its last line.
    """

    id: str
    state: str
    command: str
    started: float | None
    seconds: float | None
    exit_code: int | None
    message: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def code(self) -> int:
        """Exit code for a command that stands for this ended job: the job's own where it has one."""
        if self.state == "STOPPED":
            return 143
        if self.state == "SUCCEEDED":
            return 0
        return self.exit_code if self.exit_code and 0 < self.exit_code < 256 else 1


def normal_address(given: str | None) -> str:
    """The address with its scheme: as given, else the environment's, else this machine's.

    Raises:
        UsageError: it is no http address.
    """
    address = given or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        shown = address.split("@")[-1]
        raise UsageError(f"address {shown}: give the dashboard's, like {DEFAULT_ADDRESS} or https://host")
    return address.rstrip("/")


def on_this_machine(address: str) -> bool:
    """Whether `address` is a loopback one."""
    return urlsplit(address).hostname in LOOPBACK


def travels_open(address: str) -> bool:
    """Whether others on the way could read what is sent to `address`."""
    return address.startswith("http:") and not on_this_machine(address)


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of its dashboard, as `normal_address` gives it.

    Raises:
        UsageError: nothing listens there, it is no Ray, or the token is missing or wrong.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        _knock(address)
        if "RAY_AUTH_MODE" not in os.environ and {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            os.environ["RAY_AUTH_MODE"] = "token"
        if travels_open(address) and os.environ.get("RAY_AUTH_MODE") == "token":
            print(f"{address}: the token travels unencrypted; prefer https or a port forward", file=sys.stderr)
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray").setLevel(logging.ERROR)  # after the import, which sets it up
        with self._clear_errors():
            self._client: Any = JobSubmissionClient(address)

    def submit(self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]) -> None:
        """Start a job."""
        with self._clear_errors():
            self._client.submit_job(
                entrypoint=entrypoint, submission_id=job_id, runtime_env=runtime_env, metadata=metadata
            )

    def get(self, job_id: str) -> Job:
        """One job; raises UsageError when the cluster knows none of that name."""
        with self._clear_errors(job_id):
            return _job(self._client.get_job_info(job_id))

    def all(self) -> list[Job]:
        """Every submitted job, oldest first."""
        with self._clear_errors():
            found = [_job(info) for info in self._client.list_jobs() if info.submission_id]
        return sorted(found, key=lambda job: job.started or 0)

    def logs(self, job_id: str) -> str:
        """What the job has printed so far."""
        with self._clear_errors(job_id):
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str) -> Job:
        """Print the job's output as it comes until it ends, over connections lost for less than PATIENCE_S seconds.

        Returns:
            How it ended.
        """
        import aiohttp

        shown = 0

        async def print_rest() -> None:
            nonlocal shown
            seen = 0  # a new connection tells everything from the beginning
            async for text in self._client.tail_job_logs(job_id):
                sys.stdout.write(text[max(0, shown - seen) :])
                sys.stdout.flush()
                seen += len(text)
                shown = max(shown, seen)

        self.get(job_id)
        while True:
            # The connection went away, the job need not have.
            with suppress(UsageError, JobError, aiohttp.ClientError), self._clear_errors(job_id):
                asyncio.run(print_rest())
            job = _patiently(lambda: self.get(job_id))
            if job.ended:
                sys.stdout.write(_patiently(lambda: self.logs(job_id))[shown:])
                sys.stdout.flush()
                return job
            time.sleep(POLL_S)

    def stop(self, job_id: str, wait_s: float) -> Job:
        """Ask a job to end as SIGTERM does, wait for it, and return how it ended.

        Raises:
            JobError: it is still there after `wait_s` seconds.
        """
        job = self.get(job_id)
        if job.ended:
            return job
        with self._clear_errors(job_id):
            self._client.stop_job(job_id)
        deadline = time.monotonic() + wait_s
        while not (job := self.get(job_id)).ended:
            if time.monotonic() > deadline:
                raise JobError(f"{job_id}: still ending after {wait_s:.0f} s; look again with docformer submit status")
            time.sleep(POLL_S)
        return job

    @contextmanager
    def _clear_errors(self, job_id: str | None = None) -> Iterator[None]:
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            wrong = "Invalid" in str(error) or "Forbidden" in str(error)
            raise UsageError(f"{self.address}: the token is {'wrong' if wrong else 'missing'}; {TOKEN_HINT}") from None
        except OSError as error:  # requests' own errors are of this family too
            raise UsageError(f"{self.address}: no Ray cluster answers ({_short(error)}); {ADDRESS_HINT}") from None
        except (RuntimeError, ValueError) as error:
            if job_id is not None and ("404" in str(error) or "does not exist" in str(error)):
                raise UsageError(f"{self.address}: knows no job {job_id}; see docformer submit list") from None
            raise JobError(f"{self.address}: {_short(error)}") from None


ADDRESS_HINT = "is it the dashboard's address, and is the cluster up?"


def _knock(address: str) -> None:
    """Raise UsageError unless something listens at `address`; Ray's own client would wait for minutes."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((str(parts.hostname), port), timeout=CONNECT_S).close()
    except OSError as error:
        raise UsageError(f"{address}: nothing answers ({_short(error)}); {ADDRESS_HINT}") from None


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """What `ask` returns, asked again for PATIENCE_S seconds while it raises."""
    began = time.monotonic()
    while True:
        try:
            return ask()
        except (UsageError, JobError):
            if time.monotonic() - began > PATIENCE_S:
                raise
            time.sleep(POLL_S)


def _job(info: Any) -> Job:
    started = info.start_time / 1000 if info.start_time else None
    until = info.end_time / 1000 if info.end_time else time.time()
    lines = (info.message or "").strip().splitlines()
    return Job(
        id=info.submission_id,
        state=str(info.status.value),
        command=(info.metadata or {}).get("docformer") or info.entrypoint,
        started=started,
        seconds=round(until - started, 1) if started else None,
        exit_code=info.driver_exit_code,
        message=lines[-1] if lines else "",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
