"""A docformer command as a Ray job: the project travels along, the environment is pinned, places are the cluster's."""

import argparse
import os
import secrets
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cluster.jobs.client import Jobs, on_this_machine
from cluster.jobs.project import pins, stage
from cluster.jobs.settings import SubmitSettings
from cluster.options import read_section
from pipelines.errors import UsageError

# What makes no sense on a cluster: it would submit again, or write files for a person.
AT_HOME = ("submit", "launch")


def submit(jobs: Jobs, words: list[str], config: Path | None, settings: SubmitSettings) -> str:
    """Start `docformer WORD...` on the cluster of `jobs` and return the job's id.

    Args:
        jobs: of the cluster.
        words: a docformer command that passed `check_command`.
        config: file that travels along; the command gets it as its `--config`.
        settings: of the submission.

    Raises:
        UsageError: there is no folder to run it in.
    """
    local = on_this_machine(jobs.address)
    folder = settings.folder or (str(Path.cwd()) if local else None)
    if folder is None:
        raise UsageError("no folder on the cluster; add --folder DIR, one that all its nodes share")
    python = settings.python or (sys.executable if local and not settings.install else "python")
    job_id = f"docformer-{words[0]}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory(prefix="docformer-") as scratch:
        project = stage(Path(scratch) / "project", config)
        jobs.submit(
            job_id,
            shlex.join([python, "-m", "cluster.jobs.entry", folder, *words]),
            runtime_env(project, job_id, settings),
            {"docformer": shlex.join(["docformer", *words])},
        )
    return job_id


def complete_words(words: list[str], config: Path | None) -> list[str]:
    """The command without the name docformer; without words, `run` where the file has that section, else `pretrain`."""
    words = words[1:] if words[:1] == ["docformer"] else words
    if words or config is None:
        return words
    return ["run"] if read_section(config, "run") else ["pretrain"]


def check_command(words: list[str], config: Path | None) -> argparse.Namespace:
    """Parse `words` as the cluster will, so that a mistake is found before anything is sent; it exits on one.

    Raises:
        UsageError: no command, one that belongs here, or one that has no use for the configuration file.
    """
    from cluster.cli import build_parser

    if not words:
        raise UsageError("no command; write it after --, like: docformer submit --address URL -- corpus stats CORPUS")
    if words[0] in AT_HOME:
        raise UsageError(f"{words[0]} runs here, not on a cluster")
    args: argparse.Namespace = build_parser().parse_args(words)
    if config is not None and not hasattr(args, "config"):
        raise UsageError(f"{args.command_name} takes no --config; submit it without one")
    return args


def runtime_env(project: Path, job_id: str, settings: SubmitSettings) -> dict[str, Any]:
    """Ray's description of a job's surroundings: the project, plain variables, and packages if they are installed."""
    variables = {
        **settings.env,
        "DOCFORMER_RUN_ID": job_id,
        "PYTHONUNBUFFERED": "1",
        # Ray gives a stopped job three seconds; a checkpoint may take longer.
        "RAY_JOB_STOP_WAIT_TIME_S": str(settings.stop_wait_s),
    }
    environment: dict[str, Any] = {"working_dir": os.fspath(project), "env_vars": variables}
    if settings.install:
        # Ray itself must be the cluster's own.
        packages = [line for line in pins() if not line.startswith("ray==")]
        environment["pip"] = {"packages": packages, "pip_check": False, "pip_install_options": ["--no-deps"]}
    return environment
