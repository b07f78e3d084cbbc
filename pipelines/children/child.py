"""A child process that answers one request at a time, for work that may crash, hang or grow without bound."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from pipelines.children.frames import FrameError, read_frame, write_frame
from pipelines.errors import UsageError
from pipelines.quarantine import DropError, Reason

PIPE_BYTES = 1 << 20  # what a page comes to passes in one go; more is refused to users other than root


class Child:
    """One reusable child, started at the first request and again after each death; not thread-safe.

    Args:
        module: run with `python -m`; it calls `pipelines.children.served.serve`.
        memory_bytes: its address space, 0 for no limit.
        environment: variables it gets besides this process's own.
    """

    def __init__(self, module: str, memory_bytes: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self.module, self.memory_bytes, self.environment = module, memory_bytes, dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self.requests = 0

    @property
    def pid(self) -> int | None:
        """Process id, None while there is none."""
        return self._process.pid if self._process is not None else None

    def ask(self, request: dict[str, Any], payload: Any, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """The child's answer, header and payload, to a request; a child that dies or is late is gone afterwards.

        Raises:
            DropError: the child answered with a reason, died, was late or took too much processor time.
            UsageError: the child lacks something that only the user can give.
        """
        process = self._start()
        assert process.stdin is not None
        self.requests += 1
        try:
            deadline = time.monotonic() + timeout_s
            write_frame(process.stdin.fileno(), request, payload, deadline)
            header, body = read_frame(self._answers, deadline)
        except TimeoutError:
            self.close()
            raise DropError(Reason.TIMEOUT, f"over {timeout_s:g} s") from None
        except (FrameError, ValueError) as error:
            ended = self._ending(process)
            self.close()
            if ended == signal.SIGXCPU.name:
                raise DropError(Reason.CPU_LIMIT, f"over {request['cpu_s']:g} s of processor time") from None
            raise DropError(Reason.CRASHED, f"the child process ended ({ended or error})") from None
        except BaseException:  # interrupted between request and answer: the next answer would be the wrong one
            self.close()
            raise
        if "usage" in header:
            raise UsageError(str(header["usage"]))
        if "reason" in header:
            raise DropError(Reason(header["reason"]), str(header["detail"]))
        return header, body

    @staticmethod
    def _ending(process: subprocess.Popen[bytes]) -> str:
        try:
            code = process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return ""
        return signal.Signals(-code).name if code < 0 else f"exit {code}"

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, str(write_end), str(os.getpid()), str(self.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(write_end,),
            env={**os.environ, **self.environment},
        )
        os.close(write_end)
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        for pipe in (self._process.stdin.fileno(), read_end):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._answers, self.requests = read_end, 0
        return self._process

    def close(self) -> None:
        """End the child; the next request starts a new one."""
        process, self._process = self._process, None
        if process is None:
            return
        os.close(self._answers)
        assert process.stdin is not None
        process.stdin.close()
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
