"""https:// and http:// addresses: whole, or by byte range where the server allows, with patience for passing errors.

A server without ranges cannot give one member of an archive: the archive is then fetched once in a process into a
temporary file that goes with the process, and read there.
"""

import re
import tempfile
import threading
import time
from collections import OrderedDict
from email.utils import parsedate_to_datetime
from typing import IO

import requests

from pipelines.sources.limits import SourceLimits

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT_S = 60.0
KEPT = 2  # whole archives kept on disk, of servers without ranges
PIECE = 1 << 20


class Web:
    """Addresses on the web."""

    def __init__(self, limits: SourceLimits) -> None:
        self.limits = limits
        self.session = requests.Session()
        self.session.headers["Accept-Encoding"] = "identity"  # bytes as stored, or ranges mean nothing
        self._lock = threading.RLock()
        self._sizes: dict[str, tuple[int, bool]] = {}
        self._whole: OrderedDict[str, IO[bytes]] = OrderedDict()

    def size(self, path: str) -> int:
        """Bytes of the file, asked for once in a process; a file without ranges is fetched for it."""
        with self._lock:
            return self._asked(path)[0]

    def _asked(self, path: str) -> tuple[int, bool]:
        """Bytes of the file, and whether the server gives ranges of it."""
        if path not in self._sizes:
            status, _, total = self._get(path, "bytes=0-0", 1)
            if status == 206 and total is not None:
                self._sizes[path] = total, True
            elif status == 416:  # an empty file has no first byte
                self._sizes[path] = 0, True
            else:
                self._sizes[path] = self._spool(path).seek(0, 2), False
        return self._sizes[path]

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes from `offset` on."""
        length = min(length, self.size(path) - offset)
        if length <= 0:
            return b""
        with self._lock:
            if not self._asked(path)[1]:
                file = self._spool(path)
                file.seek(offset)
                return file.read(length)
        status, data, _ = self._get(path, f"bytes={offset}-{offset + length - 1}", length)
        if status != 206 or len(data) != length:
            raise OSError(f"{path}: asked for {length} bytes from {offset}, got {len(data)} with status {status}")
        return data

    def read_all(self, path: str, limit: int) -> bytes:
        """The whole file by one request, or a byte more than `limit`."""
        return self._get(path, "", limit + 1)[1]

    def _spool(self, path: str) -> IO[bytes]:
        if path not in self._whole:
            file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as it is kept
            self._get(path, "", -1, file)
            self._whole[path] = file
            while len(self._whole) > KEPT:
                self._whole.popitem(last=False)[1].close()
        self._whole.move_to_end(path)
        return self._whole[path]

    def _get(self, path: str, wanted: str, most: int, into: IO[bytes] | None = None) -> tuple[int, bytes, int | None]:
        """Status, at most `most` bytes of the body, and the whole file's size where the answer tells it."""
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._get_once(path, wanted, most, into)
            except _PassingError as error:
                if attempt == self.limits.attempts:
                    raise OSError(f"{path}: {error}, {attempt} attempts") from None
                time.sleep(min(LONGEST_WAIT_S, error.wait_s or 0.25 * 2**attempt))
        raise AssertionError

    def _get_once(self, path: str, wanted: str, most: int, into: IO[bytes] | None) -> tuple[int, bytes, int | None]:
        headers = {"Range": wanted} if wanted else {}
        try:
            with self.session.get(path, headers=headers, stream=True, timeout=self.limits.timeout_s) as answer:
                if answer.status_code in PASSING:
                    raise _PassingError(f"HTTP {answer.status_code}", _retry_after(answer.headers.get("Retry-After")))
                if answer.status_code >= 400 and answer.status_code != 416:
                    raise _refusal(answer.status_code, path)
                total = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
                if into is not None:
                    into.seek(0)
                    into.truncate()
                body = bytearray()
                for piece in answer.iter_content(PIECE):
                    if into is not None:
                        into.write(piece)
                        continue
                    body += piece[: most - len(body)]
                    if len(body) >= most:
                        break
                return answer.status_code, bytes(body), int(total[1]) if total else None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _PassingError(type(error).__name__) from None
        except requests.RequestException as error:
            raise OSError(f"{path}: {error}") from None


class _PassingError(Exception):
    """A try that may succeed when it is repeated."""

    def __init__(self, what: str, wait_s: float = 0.0) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def _refusal(status: int, path: str) -> OSError:
    if status in (404, 410):
        return FileNotFoundError(2, f"HTTP {status}: no such file", path)
    if status in (401, 403):
        return PermissionError(13, f"HTTP {status}: not allowed", path)
    return OSError(5, f"HTTP {status}", path)


def _retry_after(value: str | None) -> float:
    """Seconds that a server asks to wait: a number, or a date."""
    if not value:
        return 0.0
    try:
        return float(value) if value.isdigit() else max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
