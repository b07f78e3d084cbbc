"""Inside a child process (`pipelines.children.child`): takes its limits, answers requests until its parent is gone."""

import ctypes
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from pipelines.children.frames import FrameError, read_frame, write_frame
from pipelines.errors import UsageError
from pipelines.quarantine import DropError, Reason

PR_SET_PDEATHSIG = 1
Answer = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], Any]]


def take_limits() -> int:
    """Die with the parent, keep within the address space, leave no core; returns the descriptor for answers."""
    answers, parent, memory = (int(value) for value in sys.argv[1:4])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return answers


def serve(answers: int, answer: Answer, otherwise: Reason) -> None:
    """Answer each request with `answer(header, payload)`, or why there is none, until the parent goes away.

    A request with `cpu_s` that takes more processor time, in seconds, ends this process by SIGXCPU.

    Args:
        answers: descriptor that answers are written to.
        answer: may raise DropError, UsageError or anything else.
        otherwise: reason of an error of no known kind.
    """
    while True:
        try:
            request, payload = read_frame(0)
        except FrameError:
            return
        body: Any = b""
        if "cpu_s" in request:
            _limit_processor_time(float(request["cpu_s"]))
        try:
            header, body = answer(request, payload)
        except DropError as error:
            header = {"reason": error.reason, "detail": error.detail}
        except UsageError as error:
            header = {"usage": str(error)}
        except MemoryError:
            header = {"reason": Reason.MEMORY_LIMIT, "detail": "out of its address space"}
        except Exception as error:  # whatever a hostile file provokes costs this page only
            header = {"reason": otherwise, "detail": f"{type(error).__name__}: {error}"}
        write_frame(answers, header, body)


def _limit_processor_time(seconds: float) -> None:
    """Allow this process so much more processor time, rounded up to whole seconds."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))
