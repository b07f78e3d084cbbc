"""Anyscale's job: worker groups with bounds; who may reach the cluster is the platform's own log-in."""

import shlex
from typing import Any

import yaml

from cluster.launch.nodes import TRAINING, Group, Range, check_bounds, groups_of, slots_of
from cluster.launch.settings import LaunchSettings
from pipelines.errors import UsageError

RETRIES = 3


def job(settings: LaunchSettings, workers: Range, words: list[str]) -> dict[str, Any]:
    """The job, whose folder holds run.yaml; arguments as `kuberay.manifests`.

    Raises:
        UsageError: an instance type is missing, or a secret is asked for, which Anyscale keeps in its cloud.
    """
    if settings.secret_env:
        raise UsageError(
            "launch.secret_env: an Anyscale job takes secrets from its cloud's secret manager, not from here"
        )
    groups = groups_of(settings, workers)
    return {
        "name": settings.name,
        "image_uri": settings.image,
        "entrypoint": shlex.join(["docformer", *words, "--config", "run.yaml"]),
        "working_dir": ".",
        "max_retries": RETRIES,
        "env_vars": {"DOCFORMER_LOG": "json", "DOCFORMER_RUN_ID": settings.name, **settings.env},
        "compute_config": {
            "head_node": {
                "instance_type": _instance(settings, "head_instance_type"),
                "resources": {"CPU": 0},
            },
            "worker_nodes": [_nodes(settings, group) for group in groups],
        },
    }


def check(where: str, text: str, settings: LaunchSettings, workers: Range) -> None:
    """Check a job file, also one that was edited since; raises UsageError as `kuberay.check`."""
    try:
        groups = yaml.safe_load(text)["compute_config"]["worker_nodes"]
        training = [
            (Range(int(group["min_nodes"]), int(group["max_nodes"])), slots_of(settings, workers))
            for group in groups
            if group["name"].startswith(TRAINING)
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: not a job of docformer launch ({' '.join(str(error).split())[:120]})") from None
    check_bounds(where, training, workers)


def _nodes(settings: LaunchSettings, group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "instance_type": _instance(settings, "instance_type" if group.slots else "cpu_instance_type"),
        "min_nodes": group.nodes.least,
        "max_nodes": group.nodes.most,
        "market_type": "SPOT" if group.spot else "ON_DEMAND",
    }


def _instance(settings: LaunchSettings, key: str) -> str:
    value = getattr(settings, key)
    if value is None:
        raise UsageError(f"launch.{key} is not set; name the instance type of your cloud")
    return str(value)


def head_comment(name: str) -> str:
    """How to use the file, as comment lines."""
    return (
        "# Written by docformer launch anyscale. Run in this folder: anyscale job submit --config-file "
        f"{name}\n# Anyscale's own log-in guards the cluster; keep no secret in this file.\n"
    )
