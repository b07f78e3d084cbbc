"""Checks objects against a custom resource definition that the user has: KubeRay's own schema, unknown fields refused.

`kubectl get crd rayjobs.ray.io -o yaml` prints the one that a cluster uses.
"""

from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import UsageError

# A definition is a megabyte or more: the loader in C takes a tenth of the time.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPEN = "x-kubernetes-preserve-unknown-fields"


def schemas(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The schemas in a definition file by (apiVersion, kind), objects closed to fields they do not name.

    Raises:
        UsageError: the file cannot be read or holds no definition.
    """
    try:
        documents = [found for found in yaml.load_all(file.read_text(encoding="utf-8"), Loader=LOADER) if found]
        return {
            (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): _closed(
                version["schema"]["openAPIV3Schema"]
            )
            for crd in documents
            for version in crd["spec"]["versions"]
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file}: holds no custom resource definition ({' '.join(repr(error).split())[:120]}); "
            "kubectl get crd rayjobs.ray.io -o yaml prints one"
        ) from None


def check_objects(where: str, objects: list[dict[str, Any]], known: dict[tuple[str, str], dict[str, Any]]) -> int:
    """Check those of `objects` that `known` has a schema for, and return how many those are.

    Raises:
        UsageError: one does not fit; the message names the field.
    """
    from jsonschema import Draft202012Validator

    checked = 0
    for found in objects:
        schema = known.get((str(found.get("apiVersion")), str(found.get("kind"))))
        if schema is None:
            continue
        checked += 1
        errors = sorted(Draft202012Validator(schema).iter_errors(found), key=lambda error: -len(error.absolute_path))
        if errors:
            place = ".".join(str(part) for part in errors[0].absolute_path)
            raise UsageError(f"{where}, {found['kind']} {place}: {' '.join(errors[0].message.split())[-200:]}")
    return checked


def _closed(schema: Any) -> Any:
    """The schema with every object closed that lists its properties, as the API server reads it."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    properties = closed.get("properties")
    if (
        schema.get("type") == "object"
        and isinstance(properties, dict)
        and "additionalProperties" not in schema
        and not schema.get(OPEN)
    ):
        closed["additionalProperties"] = False
    return closed
