"""The `docformer` command: parses the command line, runs one command, turns what went wrong into one line.

Exit codes: 0 success; 1 a failed job; 2 bad usage, configuration or input; 130 and 143 a run stopped by SIGINT and
SIGTERM that can be resumed.
"""

import argparse
import difflib
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NoReturn

from cluster.commands import ask, corpus, demo, export, launch, plan, pretrain, run, runs, status, submit, tokenizer
from cluster.commands.command import HelpFormatter
from model.errors import ModelInputError
from pipelines.errors import JobError, StoppedError, UsageError
from pipelines.stopping import Terminated, sigterm_raises

COMMANDS = (demo, run, corpus, tokenizer, plan, pretrain, runs, export, ask, submit, launch, status)

STOPPED = {"SIGINT": 130, "SIGTERM": 143}


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line that names the nearest known option."""

    def error(self, message: str) -> NoReturn:
        """Print `message` as one line on standard error and exit with 2."""
        wrong = re.fullmatch(r"argument (COMMAND|TARGET): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if wrong:
            known = re.findall(r"[a-z]+", wrong[3])
            close = difflib.get_close_matches(wrong[2], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            message = f"unknown {wrong[1].lower()} {wrong[2]!r}; {hint}"
        elif message.startswith("the following arguments are required:"):
            missing = message.split(": ", 1)[1].replace("COMMAND", "a command").replace("TARGET", "a target")
            message = f"{missing} is missing" if "," not in missing else f"{missing} are missing"
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse `args`, naming the nearest option when one is unknown."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = sorted(getattr(parsed, "known_options", ()))
            close = difflib.get_close_matches(unknown[0].split("=")[0], options, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            command = getattr(parsed, "command_name", self.prog)
            self.exit(2, f"{command}: error: unknown argument {unknown[0]!r}{hint}; see {command} --help\n")
        return parsed


def build_parser() -> OneLineParser:
    """The parser of the whole command line, one subparser a command."""
    parser = OneLineParser(
        prog="docformer",
        description="DocFormerV2 pretraining, whole: raw PDFs to labels in Parquet, to pretraining, to answers.",
        epilog="example:\n  docformer demo",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"docformer {metadata.version('docformer')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=OneLineParser)
    for command in COMMANDS:
        command.register(commands)
    _note_options(parser)
    return parser


def _note_options(parser: argparse.ArgumentParser) -> None:
    """Let each leaf parser record its own name and options, for the message about an unknown one."""
    parser.set_defaults(command_name=parser.prog)
    options = {option for action in parser._actions for option in action.option_strings}
    parser.set_defaults(known_options=options)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in set(action.choices.values()):
                _note_options(child)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error does: what was done does not fail at the telling
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with sigterm_raises():
            return int(args.run(args))
    except (UsageError, ModelInputError) as error:
        print(f"{args.command_name}: error: {error}", file=sys.stderr)
        return 2
    except JobError as error:
        print(f"{args.command_name}: failed: {error}", file=sys.stderr)
        return 1
    except StoppedError as error:
        print(f"{args.command_name}: stopped by {error}", file=sys.stderr)
        return STOPPED[str(error)]
    except KeyboardInterrupt as stop:
        name = "SIGTERM" if isinstance(stop, Terminated) else "SIGINT"
        print(f"{args.command_name}: stopped by {name}" + (f"; {stop}" if str(stop) else ""), file=sys.stderr)
        return STOPPED[name]
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error. Keep the interpreter's exit flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        about = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print(f"{args.command_name}: error: {about}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
