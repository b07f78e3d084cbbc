"""The child process that runs an OCR engine, so that a crash or hang of its library costs one page.

Started as `python -m pipelines.ocr.child`. Requests: load (engine, options), read (a picture, as RGB bytes).
"""

from typing import Any

import numpy as np

from pipelines.children.served import serve, take_limits
from pipelines.ocr.engine import OcrEngine, engine
from pipelines.ocr.upright import Upright
from pipelines.quarantine import DropError, Reason


class Reading:
    """Answers requests with the engine that is loaded."""

    def __init__(self) -> None:
        self._engine: OcrEngine | None = None

    def answer(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], Any]:
        """Header and payload of the answer to load or read; raises UsageError as `engine` does."""
        if request["do"] == "load":
            self._engine = Upright(engine(request["engine"], **request["options"]))
            return {}, b""
        if self._engine is None:
            raise DropError(Reason.INTERNAL, "no OCR engine is loaded")
        page = self._engine.read(np.frombuffer(payload, np.uint8).reshape(request["height"], request["width"], 3))
        header = {"words": page.words, "turns": page.turns, "name": self._engine.name, "version": self._engine.version}
        return header, page.boxes.astype("<f4").tobytes() + page.confidence.astype("<f4").tobytes()


if __name__ == "__main__":
    serve(take_limits(), Reading().answer, Reason.OCR_FAILED)
