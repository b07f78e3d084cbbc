"""A line of the log: as people read it, or with DOCFORMER_LOG=json as an object for a log collector."""

import json
import os
import sys
import time
from typing import Any, TextIO

from pipelines.run_id import run_id


def as_objects() -> bool:
    """Whether lines are objects."""
    return os.environ.get("DOCFORMER_LOG") == "json"


def log_line(stage: str, line: str, stream: TextIO | None = None, **values: Any) -> None:
    """Print `line` on `stream` (standard error when None), or as an object: time, run, stage and `values`."""
    if as_objects():
        line = json.dumps({"time": round(time.time(), 3), "run": run_id(), "stage": stage, **values})
    try:
        print(line, file=stream or sys.stderr, flush=True)
    except BrokenPipeError:
        if stream not in (None, sys.stderr):
            raise
        # Whoever watched has gone; the work goes on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
