"""`docformer status`: how one corpus or run stands."""

import argparse
from typing import Any

from cluster.commands.command import add_command, add_json, print_result


def register(commands: Any) -> None:
    """Add the `status` command."""
    status = add_command(
        commands,
        "status",
        run,
        "How a corpus or a run stands: its state, how far it is, how fast. For several runs at once: docformer runs.",
        "docformer status corpus",
    )
    status.add_argument("folder", metavar="FOLDER", help="corpus or run, finished or not")
    add_json(status)


def run(args: argparse.Namespace) -> int:
    """Print the state."""
    from cluster.runs.status import status

    print_result(status(args.folder), args.json)
    return 0
