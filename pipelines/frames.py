"""Length-prefixed frames between a parent and an untrusted child: JSON header, raw payload, no pickle.

A frame is 4 bytes header length, 8 bytes payload length (little endian), the header as JSON, the payload.
"""

import json
import os
import selectors
import struct
import time
from typing import Any

PREFIX = struct.Struct("<IQ")
MAX_HEADER = 64 << 20
MAX_PAYLOAD = 2 << 30


class FrameError(Exception):
    """The other side is gone or speaks nonsense."""


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    text = json.dumps(header).encode("utf-8")
    return PREFIX.pack(len(text), len(payload)) + text + payload


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; raises FrameError when the reader is gone."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view[: 1 << 20]) :]
    except (BrokenPipeError, OSError) as error:
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
    parts = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while len(parts) < count:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and (left <= 0 or not selector.select(left)):
                raise TimeoutError
            data = os.read(fd, min(count - len(parts), 1 << 20))
            if not data:
                raise FrameError("the other side closed the pipe")
            parts += data
    return bytes(parts)
