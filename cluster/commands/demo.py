"""`docformer demo`: the whole journey in miniature."""

import argparse
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command


def register(commands: Any) -> None:
    """Add the `demo` command."""
    demo = add_command(
        commands,
        "demo",
        run,
        "Documents to corpus, tokenizer, pretraining, held-out scores and a report, on this machine.",
        "docformer demo --pdfs ~/pdfs --out out/demo",
    )
    demo.add_argument("--pdfs", type=Path, metavar="DIR", help="your own documents; generated ones when absent")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default: out/demo")


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from cluster.demo import run_demo

    run_demo(args.pdfs, args.out)
    return 0
