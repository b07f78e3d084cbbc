"""Writes docs/reference/ from the settings classes, the parser and the modules' docstrings: `make docs`."""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cluster.cli import build_parser  # noqa: E402
from cluster.options import plain_type  # noqa: E402
from cluster.reference import SECTIONS  # noqa: E402

OUT = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from the code; do not edit. -->\n"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (OUT / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Text of every page by file name."""
    return {"settings.md": settings_page(), "commands.md": commands_page(), "files.md": files_page()}


def settings_page() -> str:
    """Every section of a configuration file, its keys, their ranges and defaults."""
    blocks = [
        f"# Settings\n\n{NOTE}\nKeys of a `--config` file by section. A key is a flag too (`ocr_dpi` is `--ocr-dpi`) "
        "unless it is a mapping; flags win over the file. An unknown key is an error that names the nearest one."
    ]
    for section, (classes, about) in SECTIONS.items():
        blocks.append(f"## {section}\n\n{about}")
        for prefix, settings in classes.items():
            blocks.append(("" if not prefix else f"### {section}.{prefix}\n\n") + _table(settings))
    return "\n\n".join(blocks) + "\n"


def _table(settings: type[BaseModel]) -> str:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {_values(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _values(field: FieldInfo) -> str:
    kind = plain_type(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    origin = get_origin(kind) or kind
    names = {bool: "yes or no", int: "number", float: "number", str: "text", tuple: "list"}
    name = names.get(origin, "mapping" if not isinstance(origin, type) or issubclass(origin, dict | BaseModel) else "")
    bounds = [
        f"{sign} {getattr(limit, key)}"
        for limit in field.metadata
        for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if getattr(limit, key, None) is not None
    ]
    return " ".join([name or "mapping", ", ".join(bounds)]).strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "see below"
    return "" if value in (None, (), "", {}) else f"`{value}`"


def commands_page() -> str:
    """Every command: what it does, its own arguments, an example."""
    blocks = [
        f"# Commands\n\n{NOTE}\n`docformer COMMAND --help` says the same. Settings that are flags too are in "
        "[settings](settings.md). Exit codes: 0 done, 1 a failed job, 2 bad usage or input, 130 and 143 a stopped run "
        "that `--resume` continues."
    ]
    for parser in leaves(build_parser()):
        rows = ["| argument | meaning |", "| --- | --- |"]
        for action in parser._actions:
            of_settings = action.default is argparse.SUPPRESS and bool(action.option_strings)
            if of_settings or isinstance(action, argparse._HelpAction):
                continue
            metavar = action.metavar if isinstance(action.metavar, str) else ""
            names = " ".join([*(f"`{option}`" for option in action.option_strings), f"`{metavar}`" if metavar else ""])
            rows.append(f"| {names.strip()} | {(action.help or '').replace('%%', '%').replace('|', chr(92) + '|')} |")
        example = (parser.epilog or "").removeprefix("example:\n")
        table = "\n".join(rows) + "\n\n" if len(rows) > 2 else ""
        lines = "\n".join(line.removeprefix("  ") for line in example.splitlines())
        about = " ".join((parser.description or "").split())
        blocks.append(f"## {parser.prog}\n\n{about}\n\n{table}```text\n{lines}\n```")
    return "\n\n".join(blocks) + "\n"


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands, in the order of their help."""
    groups: list[Any] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for child in group.choices.values():
            yield from leaves(child)


def files_page() -> str:
    """Every package and file with the first line of its docstring."""
    blocks = [f"# Files\n\n{NOTE}\nOne line a file: the first of its docstring."]
    for top in ("pipelines", "model", "cluster"):
        blocks.append(f"## {top}")
        for folder in sorted({path.parent for path in (ROOT / top).rglob("*.py")}):
            rows = [
                f"| [`{path.name}`](../../{path.relative_to(ROOT)}) | {first_line(path)} |"
                for path in sorted(folder.glob("*.py"))
                if path.name != "__init__.py"
            ]
            if rows:
                about = first_line(folder / "__init__.py") if (folder / "__init__.py").is_file() else ""
                head = f"### {folder.relative_to(ROOT)}\n\n{about}\n\n" if folder.name != top else f"{about}\n\n"
                blocks.append(head + "\n".join(["| file | holds |", "| --- | --- |", *rows]))
    return "\n\n".join(blocks) + "\n"


def first_line(path: Path) -> str:
    """First sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
