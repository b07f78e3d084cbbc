"""The same measurement in several processes at once, as the workers of one machine run beside each other."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import JobError

TIMEOUT_S = 900.0


@dataclass(frozen=True)
class SideBySide:
    """How many processes, and threads of each; 0 threads: as many as the library takes by itself."""

    processes: int = 1
    threads: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, module: str, request: Mapping[str, Any], failing: str) -> list[dict[str, Any]]:
        """The answer of each process: `python -m module` reads `request` as JSON and prints JSON as its last line.

        Raises:
            JobError: one failed; the message starts with `failing`.
        """
        threads = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        started = [
            subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **threads, **self.environment},
            )
            for _ in range(self.processes)
        ]
        for process in started:  # all begin before the first is waited for
            assert process.stdin is not None
            process.stdin.write(json.dumps(request))
            process.stdin.close()
            process.stdin = None
        answers = []
        try:
            for process in started:
                out, error = process.communicate(timeout=TIMEOUT_S)
                if process.returncode:
                    last = error.strip().splitlines()[-1:] or [f"exit {process.returncode}"]
                    raise JobError(f"{failing} ({last[0]}); plan without --measure, or measure a smaller model")
                answers.append(json.loads(out.splitlines()[-1]))
        finally:
            for process in started:
                process.kill()
                process.wait()
        return answers
