"""`docformer pretrain`: DocFormerV2 pretraining on Ray Train with DeepSpeed ZeRO."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command, add_config, add_json, print_result
from cluster.options import add_flags, load_settings
from cluster.runs.folder import RunFolder, newest_step
from cluster.settings import PretrainSettings
from pipelines.errors import JobError, StoppedError, UsageError
from pipelines.stopping import Terminated


def register(commands: Any) -> None:
    """Add the `pretrain` command."""
    pretrain = add_command(
        commands,
        "pretrain",
        run,
        "Pretrain DocFormerV2 on a corpus with Ray Train and DeepSpeed ZeRO.",
        "docformer pretrain --corpus corpus --tokenizer tokenizer --out run --preset tiny --workers 2 --steps 500",
    )
    pretrain.add_argument(
        "--resume",
        action="store_true",
        help="go on from the run's newest complete checkpoint, with its own settings unless others are given",
    )
    pretrain.add_argument(
        "--allow-changed-corpus",
        action="store_true",
        help="resume although a corpus or its weight changed: the next samples are those of the corpora as they are",
    )
    add_config(pretrain)
    add_json(pretrain)
    add_flags(pretrain, PretrainSettings)


def run(args: argparse.Namespace) -> int:
    """Pretrain, and exit with the code the contract gives for how the run ended."""
    from cluster.pretraining import pretrain

    started_with = Path(args.out) / "config.yaml" if args.resume and "out" in args else None
    config = args.config or (started_with if started_with and started_with.is_file() else None)
    if started_with and not started_with.is_file() and "corpus" not in args and args.config is None:
        raise UsageError(f"{args.out}: holds no run to resume; start one with --corpus, or name another folder")
    settings = load_settings(PretrainSettings, "pretrain", config, vars(args))
    if settings.dry_run:
        from cluster.dry_run import dry_run

        print_result(dry_run(settings), args.json)
        return 0
    try:
        summary = pretrain(settings, resume=args.resume, allow_changed_corpus=args.allow_changed_corpus)
    except KeyboardInterrupt as stop:  # before there was anything to save
        raise _stopped(RunFolder(settings.out), stop) from None
    print_result(summary.as_dict(), args.json)
    if summary.signal:
        again = RunFolder(settings.out).resume_command
        print(f"after step {summary.steps}; go on with: {again}", file=sys.stderr)
        raise StoppedError(summary.signal)
    return 0


def _stopped(run: RunFolder, stop: KeyboardInterrupt) -> Exception:
    """How a signal that came before the run was under way ends the command, with what to do next."""
    name = "SIGTERM" if isinstance(stop, Terminated) else "SIGINT"
    if newest_step(run) is not None:
        print(f"go on with: {run.resume_command}", file=sys.stderr)
        return StoppedError(name)
    again = f"begin again with: {run.resume_command}" if run.facts.is_file() else "nothing was written"
    return JobError(f"stopped by {name} before the first checkpoint; {again}")
