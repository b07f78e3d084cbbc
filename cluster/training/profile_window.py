"""Records some steps with torch's profiler, as a trace that chrome://tracing and Perfetto open."""

from pathlib import Path
from typing import Any

import torch


class ProfileWindow:
    """Profiles steps A .. B of one rank.

    Args:
        steps: "A:B", both included; None profiles nothing.
        folder: where `steps-A-B-rank-N.json` goes.
        rank: of this process.
    """

    def __init__(self, steps: str | None, folder: Path, rank: int) -> None:
        self._first, self._last = map(int, steps.split(":")) if steps else (0, -1)
        self._path = folder / f"steps-{self._first}-{self._last}-rank-{rank}.json"
        self._profiler: Any = None

    def before(self, step: int) -> None:
        """Start at the window's first step (or, resumed inside it, at the next one)."""
        if self._first <= step <= self._last and self._profiler is None:
            kinds = [torch.profiler.ProfilerActivity.CPU]
            if torch.cuda.is_available():
                kinds.append(torch.profiler.ProfilerActivity.CUDA)
            self._profiler = torch.profiler.profile(activities=kinds)
            self._profiler.start()

    def after(self, step: int) -> None:
        """Write the trace after the window's last step."""
        if step >= self._last:
            self.close()

    def close(self) -> None:
        """Write what was recorded, if anything was."""
        if self._profiler is not None:
            self._profiler.stop()
            self._path.parent.mkdir(exist_ok=True)
            self._profiler.export_chrome_trace(str(self._path))
            self._profiler, self._last = None, -1
