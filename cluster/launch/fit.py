"""Whether launch files for a configuration could be written, asked without writing any."""

from pathlib import Path

from cluster.jobs.project import job_config
from cluster.launch.files import CHECKS, make
from cluster.launch.job import command_of
from cluster.launch.settings import LaunchSettings
from cluster.options import load_settings, read_section
from pipelines.errors import UsageError


def launch_fit(config: Path) -> dict[str, str]:
    """For each target "fits N workers", or why its files cannot be written; empty without a section `launch`.

    Raises:
        UsageError: the section itself is wrong.
    """
    if not read_section(config, "launch"):
        return {}
    settings = load_settings(LaunchSettings, "launch", config, {})
    found = {}
    for target in CHECKS:
        try:
            words, workers = command_of([], config, settings.mount)
            make(target, settings, workers, words, job_config(config), Path("launch"))
            found[target] = f"fits {workers} workers"
        except UsageError as error:
            found[target] = f"not written: {error}"
    return found
