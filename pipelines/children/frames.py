"""Length-prefixed frames between a parent and an untrusted child: JSON header, raw payload, no pickle.

A frame is 4 bytes header length, 8 bytes payload length (little endian), the header as JSON, the payload.
"""

import json
import os
import select
import struct
import time
from typing import Any

PREFIX = struct.Struct("<IQ")
MAX_HEADER = 64 << 20
MAX_PAYLOAD = 2 << 30
CHUNK = 1 << 20  # read at once


class FrameError(Exception):
    """The other side is gone or speaks nonsense."""


def write_frame(fd: int, header: dict[str, Any], payload: Any = b"", deadline: float | None = None) -> None:
    """Write one frame to `fd`; `payload` is anything with the buffer protocol.

    Args:
        fd: a pipe's writing end, one that does not block where there is a deadline.
        header: plain JSON values.
        payload: the bytes after it.
        deadline: `time.monotonic()` value after which TimeoutError is raised, or None to wait for ever.

    Raises:
        TimeoutError: the reader did not take it before the deadline.
        FrameError: the reader is gone.
    """
    text = json.dumps(header).encode("utf-8")
    body = memoryview(payload).cast("B")
    head = memoryview(PREFIX.pack(len(text), len(body)) + text)
    try:
        while head or body:
            _wait(fd, select.POLLOUT, deadline)
            written = os.writev(fd, [head, body])
            head, body = head[written:], body[max(0, written - len(head)) :]
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise FrameError(str(error)) from None


def read_frame(fd: int, deadline: float | None = None) -> tuple[dict[str, Any], bytes]:
    """The next frame from `fd`.

    Args:
        fd: a pipe's reading end.
        deadline: `time.monotonic()` value after which TimeoutError is raised, or None to wait for ever.

    Raises:
        TimeoutError: nothing complete came before the deadline.
        FrameError: the pipe ended, or a length is out of its limit.
    """
    header_length, payload_length = PREFIX.unpack(_read_exactly(fd, PREFIX.size, deadline))
    if header_length > MAX_HEADER or payload_length > MAX_PAYLOAD:
        raise FrameError(f"frame of {header_length} + {payload_length} bytes is over the limit")
    header = json.loads(_read_exactly(fd, header_length, deadline))
    if not isinstance(header, dict):
        raise FrameError("frame header is no mapping")
    return header, _read_exactly(fd, payload_length, deadline)


def _read_exactly(fd: int, count: int, deadline: float | None) -> bytes:
    parts = []
    while count:
        _wait(fd, select.POLLIN, deadline)
        data = os.read(fd, min(count, CHUNK))
        if not data:
            raise FrameError("the other side closed the pipe")
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def _wait(fd: int, event: int, deadline: float | None) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(fd, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(1000 * left):
        raise TimeoutError
