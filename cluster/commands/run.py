"""`docformer run`: one configuration from sources to an exported model."""

import argparse
import shlex
import sys
from typing import Any

from cluster.commands.command import add_command, add_config, add_json, print_result
from pipelines.errors import StoppedError, UsageError
from pipelines.stopping import hint_when_stopped


def register(commands: Any) -> None:
    """Add the `run` command."""
    run_command = add_command(
        commands,
        "run",
        run,
        "Corpus, tokenizer, pretraining, evaluation and export of one configuration; skips what is complete and "
        "unchanged, and goes on where an interrupted start ended.",
        "docformer run --config run.yaml --from tokenizer",
    )
    run_command.add_argument(
        "--from",
        dest="start",
        metavar="STAGE",
        help="make this stage and those after it anew: corpus, tokenizer, pretrain, evaluate or export; a run that is "
        "there is renamed, not deleted",
    )
    add_config(run_command)
    add_json(run_command)


def run(args: argparse.Namespace) -> int:
    """Run the stages."""
    from cluster.workflow.run import run_workflow

    if args.config is None:
        raise UsageError("no configuration given; add --config run.yaml")
    again = f"go on with: docformer run --config {shlex.quote(str(args.config))}"
    try:
        with hint_when_stopped(lambda: again):
            results = run_workflow(args.config, args.start)
    except StoppedError:
        print(again, file=sys.stderr)
        raise
    print_result(results, args.json)
    return 0
