"""`docformer runs`: a table of runs, and their curves, while they train or after."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command, add_json, at_least


def register(commands: Any) -> None:
    """Add the `runs` command."""
    runs = add_command(
        commands,
        "runs",
        run,
        "Show runs: state, steps, losses, speed, memory; and draw their curves.",
        "docformer runs out/runs --plot curves.png",
    )
    runs.add_argument("places", type=Path, nargs="+", metavar="RUN", help="folder of a run, or of several runs")
    runs.add_argument("--plot", type=Path, metavar="FILE", help="write curves to this .png or .html file")
    runs.add_argument("--follow", action="store_true", help="show them again and again while one of them runs")
    runs.add_argument(
        "--every", type=at_least(0.1, float), default=2.0, metavar="S", help="seconds between two looks (default: 2)"
    )
    add_json(runs)


def run(args: argparse.Namespace) -> int:
    """Show runs."""
    from cluster.runs.listing import ALIVE, find_runs, look_at, table
    from cluster.runs.run_curves import write_curves

    shown = ""
    while True:
        runs = find_runs(args.places)
        views = [look_at(each) for each in runs]
        text = json.dumps([view.as_dict() for view in views], indent=2) if args.json else table(views)
        if text != shown:
            if shown and sys.stdout.isatty():
                print(f"\033[{shown.count(chr(10)) + 1}A\033[J", end="")
            print(text, flush=True)
            shown = text
        if args.plot:
            write_curves(runs, args.plot)
        if not args.follow or not any(view.state in ALIVE for view in views):
            break
        time.sleep(args.every)
    if args.plot:
        print(f"wrote {args.plot}", file=sys.stderr)
    return 0
