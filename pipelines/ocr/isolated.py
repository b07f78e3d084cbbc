"""Any OCR engine in a child process with a time limit; it reads as the engine itself does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.children.child import Child
from pipelines.ocr.engine import OcrPage, Picture

# One thread a worker: the pool of workers is the parallelism, and an engine's own threads only get in its way.
ONE_THREAD = {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}
LOAD_TIMEOUT_S = 300.0


class IsolatedEngine:
    """The engine `name` in a child process, started at the first page; one object a process, not thread-safe.

    Args:
        name: of the table of engines.
        options: of the engine's constructor, plain JSON values.
        timeout_s: wall time for one page, seconds.
    """

    def __init__(self, name: str, options: Mapping[str, Any], timeout_s: float) -> None:
        self._engine, self._options, self._timeout_s = name, dict(options), timeout_s
        self._child = Child("pipelines.ocr.child", environment=ONE_THREAD)
        self.name, self.version = name, ""

    def load(self) -> None:
        """Load the engine in the child; raises UsageError when its package or weights are missing."""
        self._child.ask({"do": "load", "engine": self._engine, "options": self._options}, b"", LOAD_TIMEOUT_S)

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB; `name` and `version` then say which engine read them.

        Raises:
            DropError: the engine crashed, failed or was late on this picture.
        """
        if self._child.pid is None:
            self.load()
        height, width = picture.shape[:2]
        request = {"do": "read", "height": height, "width": width}
        header, body = self._child.ask(request, np.ascontiguousarray(picture).data.cast("B"), self._timeout_s)
        self.name, self.version = str(header["name"]), str(header["version"])
        values = np.frombuffer(body, "<f4")
        words = [str(word) for word in header["words"]]
        page = OcrPage.of(words, values[: 4 * len(words)], values[4 * len(words) :])
        return replace(page, turns=int(header["turns"]))

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._child.pid

    def close(self) -> None:
        """End the child; the next page starts a new one."""
        self._child.close()
