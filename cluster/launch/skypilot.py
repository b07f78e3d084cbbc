"""SkyPilot's task: a fixed number of nodes that form one Ray cluster, the job on the first of them."""

import shlex
from math import ceil
from typing import Any

import yaml

from cluster.launch.nodes import Range, check_bounds, slots_of
from cluster.launch.settings import LaunchSettings
from pipelines.errors import UsageError

PORT = 6379
MARK = "DOCFORMER_RUN_YAML"


def task(settings: LaunchSettings, workers: Range, words: list[str], config: str) -> dict[str, Any]:
    """The task; arguments as `kuberay.manifests`.

    Raises:
        UsageError: the configuration cannot be written into a script.
    """
    if any(line.strip() == MARK for line in config.splitlines()):
        raise UsageError(f"the configuration file holds the line {MARK}, which ends it in the script; take it out")
    slots = slots_of(settings, workers)
    nodes = ceil(workers.most / slots)
    resources: dict[str, Any] = {
        "image_id": f"docker:{settings.image}",
        "cpus": f"{settings.node_cpus}+",
        "memory": f"{settings.node_memory_gb}+",
    }
    if settings.device == "gpu":
        resources["accelerators"] = f"{settings.gpu}:{slots}"
    # All nodes come at once: where some could be spot, all are tried as spot first.
    if settings.spot == "extra":
        resources["any_of"] = [{"use_spot": True}, {"use_spot": False}]
    else:
        resources["use_spot"] = settings.spot == "all"
    storage: dict[str, Any] = {"volumes": {settings.mount: settings.claim}}
    if settings.bucket is not None:
        storage = {"file_mounts": {settings.mount: {"source": settings.bucket, "mode": "MOUNT_CACHED"}}}
    return {
        "name": settings.name,
        "num_nodes": nodes,
        "resources": resources,
        **storage,
        "envs": {
            "RAY_AUTH_MODE": "token",
            "DOCFORMER_LOG": "json",
            "DOCFORMER_RUN_ID": settings.name,
            **settings.env,
        },
        # No values: they are given at launch with --secret NAME, from the environment.
        "secrets": dict.fromkeys(["RAY_AUTH_TOKEN", *settings.secret_env]),
        "run": _script(nodes, words, config),
    }


def check(where: str, text: str, settings: LaunchSettings, workers: Range) -> None:
    """Check a task file, also one that was edited since; raises UsageError as `kuberay.check`."""
    try:
        found = yaml.safe_load(text)
        nodes, resources, secrets = int(found.get("num_nodes", 1)), found["resources"], found["secrets"]
        gpus = str(resources.get("accelerators", "")).partition(":")[2]
        mode, ports = found["envs"]["RAY_AUTH_MODE"], resources.get("ports")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: not a task of docformer launch ({' '.join(str(error).split())[:120]})") from None
    if mode != "token" or "RAY_AUTH_TOKEN" not in secrets:
        raise UsageError(f"{where}: envs.RAY_AUTH_MODE must be token, and secrets must name RAY_AUTH_TOKEN")
    if any(secrets.values()):
        raise UsageError(f"{where}: secrets holds a value; leave it empty and give --secret NAME at launch")
    if ports:
        raise UsageError(f"{where}: resources.ports opens ports to the world; take it out")
    slots = int(gpus) if gpus else slots_of(settings, workers)
    check_bounds(where, [(Range(nodes, nodes), slots)], Range(workers.most, workers.most))


def _script(nodes: int, words: list[str], config: str) -> str:
    command = shlex.join(["docformer", *words, "--config"])
    head = f"""set -euo pipefail
cat > "$HOME/run.yaml" <<'{MARK}'
{config.rstrip()}
{MARK}
"""
    if nodes == 1:
        return head + f'{command} "$HOME/run.yaml"\n'
    return (
        head
        + f"""head=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)
if [ "$SKYPILOT_NODE_RANK" -ne 0 ]; then
  for attempt in $(seq 60); do ray start --address "$head:{PORT}" --disable-usage-stats && exit 0; sleep 5; done
  exit 1
fi
ray start --head --port {PORT} --dashboard-host 127.0.0.1 --disable-usage-stats
export RAY_ADDRESS="$head:{PORT}"
python -c "
import time, ray
ray.init(log_to_driver=False)
while sum(node['Alive'] for node in ray.nodes()) < {nodes}:
    time.sleep(2)
"
{command} "$HOME/run.yaml"
"""
    )


def head_comment(settings: LaunchSettings, workers: Range, name: str) -> str:
    """How to use the file, as comment lines."""
    secrets = " ".join(f"--secret {name}" for name in ("RAY_AUTH_TOKEN", *settings.secret_env))
    lines = [
        "Written by docformer launch skypilot. Nothing is opened to the world; the token comes from your environment:",
        "  export RAY_AUTH_TOKEN=$(openssl rand -hex 32)",
        f"  sky jobs launch {secrets} {name}",
    ]
    if workers.least != workers.most:
        lines.append(f"SkyPilot's nodes come and go together: there are always enough for {workers.most} workers.")
    if Range.parse(settings.cpu_nodes, "launch.cpu_nodes", smallest=0).most:
        lines.append("SkyPilot's nodes are all alike: launch.cpu_nodes is left out.")
    return "".join(f"# {line}\n" for line in lines)
