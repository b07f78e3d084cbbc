"""Command-line flags and YAML keys derived from settings classes: one definition, one validation, one help text.

A settings class is a frozen pydantic model; each field becomes `--field-name`, its description the help text. Values
come from the class's defaults, then from the section of the `--config` file, then from flags, the later winning.
"""

import argparse
import difflib
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cluster.yaml_file import load_yaml
from pipelines.errors import UsageError

Settings = TypeVar("Settings", bound=BaseModel)


def add_flags(parser: argparse.ArgumentParser, settings: type[BaseModel], skip: frozenset[str] = frozenset()) -> None:
    """Give `parser` one flag for each field of `settings` but those in `skip`; an absent flag leaves no value behind.

    Mappings and nested settings have no flag: they are written in the configuration file.
    """
    group = parser.add_argument_group("settings (also keys of the --config file)")
    for name, field in settings.model_fields.items():
        if name in skip or _is_structured(field):
            continue
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, **_flag(field))


def load_settings(
    settings: type[Settings],
    section: str,
    config: Path | None,
    flags: Mapping[str, Any],
    besides: frozenset[str] = frozenset(),
) -> Settings:
    """Validated settings from defaults, the file's `section` (but its keys `besides`) and the flags, the later winning.

    Raises:
        UsageError: the file is missing or no mapping, a key is unknown (the nearest known one is named), or a value
            is out of its range.
    """
    written = read_section(config, section) if config is not None else {}
    values = {name: value for name, value in written.items() if name not in besides}
    values.update({name: flags[name] for name in settings.model_fields if name in flags})
    where = f"{config}, section {section}" if config is not None else "options"
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise UsageError(_one_line(error, settings, where, besides)) from None


def read_section(config: Path, section: str) -> Mapping[str, Any]:
    """The mapping under key `section` of a YAML file; empty when the file has no such section.

    Raises:
        UsageError: the file cannot be read, is not YAML, or is not a mapping of sections to mappings.
    """
    try:
        document = load_yaml(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{config}: cannot be read ({error.strerror}); give an existing YAML file to --config"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{config}: not valid YAML ({' '.join(str(error).split())})") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"{config}: must map section names (corpus, tokenizer, pretrain) to their settings")
    for key in document:
        if key not in SECTIONS:
            raise UsageError(f"{config}: unknown section {key!r}{_nearest(str(key), SECTIONS)}")
    values = document.get(section) or {}
    if not isinstance(values, dict):
        raise UsageError(f"{config}: section {section!r} must be a mapping of settings to values")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def read_sources(config: Path) -> list[str]:
    """The SOURCEs of section `corpus`: one, or a list; empty when it names none.

    Raises:
        UsageError: as `read_section`; or they are something else.
    """
    written = read_section(config, "corpus").get("sources") or []
    if not isinstance(written, str | list):
        raise UsageError(f"{config}, section corpus: sources = {written!r}: must be a SOURCE or a list of them")
    return [str(source) for source in ([written] if isinstance(written, str) else written)]


SECTIONS = ("demo", "run", "corpus", "tokenizer", "pretrain", "plan", "submit", "launch")


def _one_line(error: ValidationError, settings: type[BaseModel], where: str, besides: frozenset[str]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] == "extra_forbidden":
        *outer, name = map(str, first["loc"])
        known = _known(settings, outer) + ([] if outer else sorted(besides))
        return f"{where}: unknown key {key!r}{_nearest(name, known)}"
    if first["type"] == "missing":
        return f"{where}: {key} is required; give --{key.replace('_', '-')} or set it in the configuration file"
    # A mapping may hold what must not be shown.
    shown = "" if isinstance(first["input"], Mapping) else f" = {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        message = f"must be one of {', '.join(choices)}{_nearest(str(first['input']), choices, or_all=False)}"
    return f"{where}: {key}{shown}: {message}"


def _known(settings: type[BaseModel], outer: list[str]) -> list[str]:
    """Keys of the mapping at path `outer`; none where it has no fixed ones."""
    for name in outer:
        kind = plain_type(settings.model_fields[name].annotation) if name in settings.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        settings = kind
    return list(settings.model_fields)


def _nearest(name: str, known: tuple[str, ...] | list[str], or_all: bool = True) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known and or_all else ""


def plain_type(annotation: Any) -> Any:
    """`annotation` without None and without further metadata."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    return annotation


def _is_structured(field: FieldInfo) -> bool:
    kind = plain_type(field.annotation)
    origin = get_origin(kind)
    return origin in (dict, Mapping) or (isinstance(kind, type) and issubclass(kind, (BaseModel, dict)))


def _flag(field: FieldInfo) -> dict[str, Any]:
    kind = plain_type(field.annotation)
    default = "" if field.is_required() or field.default in (None, ()) else f" (default: {field.default})"
    text = (field.description or "").replace("%", "%%") + default.replace("%", "%%")
    if kind is bool:
        return {"action": _OnceSwitch, "help": text}
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return {"action": _Once, "help": text, "metavar": "{" + ",".join(choices) + "}"}
    if get_origin(kind) in (list, tuple):
        return {"nargs": "+", "action": "extend", "help": f"{text}; may repeat", "metavar": "VALUE"}
    metavar = {int: "N", float: "X", Path: "PATH"}.get(kind, "VALUE")
    return {"action": _Once, "help": text, "metavar": metavar}


class _Once(argparse.Action):
    """Stores a value; given twice, which of the two is meant cannot be known."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        _refuse_second(self, namespace)
        setattr(namespace, self.dest, values)


class _OnceSwitch(argparse.BooleanOptionalAction):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        _refuse_second(self, namespace)
        super().__call__(parser, namespace, values, option_string)


def _refuse_second(action: argparse.Action, namespace: argparse.Namespace) -> None:
    if hasattr(namespace, action.dest):  # flags have no default in the namespace
        raise argparse.ArgumentError(action, "given twice; give it once")
