"""The name under which a run's log lines and metrics are found again."""

import os

VARIABLE = "DOCFORMER_RUN_ID"


def run_id(otherwise: str = "local") -> str:
    """The id that the launcher gave (submission, launch file), else `otherwise`."""
    return os.environ.get(VARIABLE) or otherwise
