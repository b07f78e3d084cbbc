"""A child process that answers one request at a time, for work that may crash, hang or grow without bound."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from pipelines.children.frames import FrameError, read_frame, write_frame
from pipelines.errors import UsageError
from pipelines.quarantine import DropError, Reason

PIPE_BYTES = 1 << 20  # what a page comes to passes in one go; more is refused to users other than root
COLLECT_S = 2.0  # an answer that waited until somebody had time for it may take so long to come through the pipe


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
        self._asked: tuple[dict[str, Any], float, float] | None = None  # request, its deadline and time limit
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
        self.send(request, payload, timeout_s)
        return self.answer()

    def send(self, request: dict[str, Any], payload: Any, timeout_s: float) -> None:
        """Have the child work on a request; nothing else may be asked before `answer` was called."""
        process = self._start()
        assert process.stdin is not None
        self.requests += 1
        self._asked = request, time.monotonic() + timeout_s, timeout_s
        with self._ends_when_it_fails(process):
            write_frame(process.stdin.fileno(), request, payload, self._asked[1])

    def answer(self) -> tuple[dict[str, Any], bytes]:
        """The answer to what was sent; raises as `ask` does."""
        assert self._process is not None
        assert self._asked is not None
        deadline = max(self._asked[1], time.monotonic() + COLLECT_S)
        with self._ends_when_it_fails(self._process):
            header, body = read_frame(self._answers, deadline)
        self._asked = None
        if "usage" in header:
            raise UsageError(str(header["usage"]))
        if "reason" in header:
            raise DropError(Reason(header["reason"]), str(header["detail"]))
        return header, body

    @property
    def waits(self) -> bool:
        """Whether an answer has yet to be taken."""
        return self._asked is not None

    @contextmanager
    def _ends_when_it_fails(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Whatever goes wrong in the block ends the child and says why."""
        assert self._asked is not None
        request, _, timeout_s = self._asked
        try:
            yield
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
        self._asked = None
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
