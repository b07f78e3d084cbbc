"""What every command shares: its parser with an example, the `--config` option, JSON or text results."""

import argparse
import json
import math
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EXAMPLE = "example:"
WIDTH = 100


class HelpFormatter(argparse.HelpFormatter):
    """Text in paragraphs no wider than `WIDTH`; examples as they are written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(WIDTH, shutil.get_terminal_size().columns - 2))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLE):
            return text
        return "\n\n".join(textwrap.fill(" ".join(part.split()), width) for part in text.split("\n\n"))


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], description: str, example: str
) -> argparse.ArgumentParser:
    """Add command `name`, whose help ends with `example`, and let it call `run`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=re.split(r"[.;]\s", description)[0].rstrip("."),
        description=description,
        epilog=f"{EXAMPLE}\n  {example}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config run.yaml`."""
    parser.add_argument("--config", type=Path, metavar="run.yaml", help="YAML file with settings; flags win over it")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def print_result(values: Mapping[str, Any], as_json: bool) -> None:
    """Print `values` as one JSON object, or as aligned lines of name and value."""
    if as_json:
        print(json.dumps(values, indent=2, default=str))
        return
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        print(f"{name.replace('_', ' '):<{width}}  {value}")


def at_least(low: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """An argument's type: a number of `kind` that is not below `low`."""

    def read(written: str) -> float:
        try:
            value = kind(written)
        except ValueError:
            value = kind(low) - 1
        if not low <= value < math.inf:
            whole = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{written!r}: give {whole}, {low:g} or more")
        return value

    return read
