"""`docformer submit`: any docformer command as a Ray job, and a look at those that run."""

import argparse
import json
import sys
import time
from typing import Any

from cluster.commands.command import add_command, add_config, add_json, print_result
from cluster.jobs.settings import SubmitSettings
from cluster.options import add_flags, load_settings
from pipelines.errors import UsageError


def register(commands: Any) -> None:
    """Add the `submit` command."""
    submit = add_command(
        commands,
        "submit",
        run,
        "Run a docformer command on a Ray cluster and follow it; or list, status, stop, logs.\n\n"
        "The project and the --config file are sent along, places in the command are the cluster's. The exit code is\n"
        "the job's. The token comes from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH. A command that is itself called like\n"
        "an action is written out: -- docformer status RUN.",
        "docformer submit --config run.yaml --address http://127.0.0.1:8265 -- pretrain --steps 500\n"
        "  docformer submit --address URL list\n"
        "  docformer submit --address URL stop docformer-pretrain-20260102-030405-a1b2",
    )
    submit.add_argument(
        "words",
        nargs="*",
        metavar="COMMAND",
        help="docformer command, after -- (default with --config: run, or pretrain where the file has no section run); "
        "or list, status JOB, stop JOB, logs JOB",
    )
    submit.add_argument("--detach", action="store_true", help="print the job's id and return; else follow its output")
    submit.add_argument("--follow", action="store_true", help="with logs: go on until the job ends, with its exit code")
    add_config(submit)
    add_json(submit)
    add_flags(submit, SubmitSettings)


def run(args: argparse.Namespace) -> int:
    """Do what the first word says: an action, or else submit the words."""
    from cluster.jobs.client import Jobs, normal_address

    settings = load_settings(SubmitSettings, "submit", args.config, vars(args))
    words = list(args.words)
    action = ACTIONS.get(words[0]) if words else None
    if action and len(words) - 1 != (0 if words[0] == "list" else 1):
        raise UsageError(f"{words[0]} takes {'no job' if words[0] == 'list' else 'one job, see docformer submit list'}")
    if action is None:
        from cluster.jobs.submit import check_command, complete_words, submit

        words = complete_words(words, args.config)
        check_command(words, args.config)
    jobs = Jobs(normal_address(settings.address))
    if action:
        return int(action(jobs, words[1:], args, settings))
    job_id = submit(jobs, words, args.config, settings)
    if args.detach:
        print(json.dumps({"id": job_id, "address": jobs.address}) if args.json else job_id)
        return 0
    print(f"{job_id}: submitted to {jobs.address}", file=sys.stderr)
    return _follow(jobs, job_id)


def _follow(jobs: Any, job_id: str) -> int:
    where = f"--address {jobs.address}"
    try:
        job = jobs.follow(job_id)
    except KeyboardInterrupt:
        print(f"\n{job_id} goes on; docformer submit {where} logs {job_id} --follow, or stop {job_id}", file=sys.stderr)
        return 130
    how = f" (exit code {job.exit_code})" if job.exit_code else ""
    print(f"{job_id}: {job.state.lower()}{how} after {job.seconds} s", file=sys.stderr)
    if job.state == "FAILED" and job.exit_code is None:
        print(f"{job_id}: {job.message}", file=sys.stderr)
    return int(job.code)


def _list(jobs: Any, words: list[str], args: argparse.Namespace, settings: SubmitSettings) -> int:
    found = jobs.all()
    if args.json:
        print(json.dumps([job.as_dict() for job in found], indent=2))
        return 0
    for job in found:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started)) if job.started else "-"
        print(f"{job.id}  {job.state:<9}  {started}  {job.seconds or 0:>8.1f} s  {job.command}")
    return 0


def _status(jobs: Any, words: list[str], args: argparse.Namespace, settings: SubmitSettings) -> int:
    print_result(jobs.get(words[0]).as_dict(), args.json)
    return 0


def _stop(jobs: Any, words: list[str], args: argparse.Namespace, settings: SubmitSettings) -> int:
    print_result(jobs.stop(words[0], settings.stop_wait_s + 10).as_dict(), args.json)
    return 0


def _logs(jobs: Any, words: list[str], args: argparse.Namespace, settings: SubmitSettings) -> int:
    if args.follow:
        return _follow(jobs, words[0])
    print(jobs.logs(words[0]), end="")
    return 0


ACTIONS = {"list": _list, "status": _status, "stop": _stop, "logs": _logs}
