"""KubeRay's RayJob and RayCluster: built from types that only safe objects fit, read back and checked the same way."""

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.launch.kuberay_pods import CONFIG_FOLDER, GPU, SAFE, pod_template, resources_of, submitter_pod
from cluster.launch.kuberay_types import Auth, Autoscaler, ClusterSpec, Head, JobSpec, Workers
from cluster.launch.nodes import TRAINING, Group, Range, check_bounds, groups_of, slots_of
from cluster.launch.settings import LaunchSettings
from pipelines.errors import UsageError

API = "ray.io/v1"
BACKOFF = 3


def manifests(settings: LaunchSettings, workers: Range, words: list[str], config: str) -> dict[str, list[Any]]:
    """The objects of each file: a job with a cluster of its own, a cluster that stays, and storage if it is to be made.

    Args:
        settings: of the launch.
        workers: the run's range.
        words: docformer command of the job.
        config: text of the run's configuration file.
    """
    cluster = cluster_spec(settings, workers)
    job = JobSpec(
        entrypoint=shlex.join(["docformer", *words, "--config", f"{CONFIG_FOLDER}/run.yaml"]),
        submissionMode="K8sJobMode",
        shutdownAfterJobFinishes=True,
        ttlSecondsAfterFinished=int(settings.keep_hours * 3600),
        backoffLimit=BACKOFF,
        submitterPodTemplate=submitter_pod(settings),
        rayClusterSpec=cluster,
    )
    run_yaml = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _named(settings, f"{settings.name}-run"),
        "data": {"run.yaml": config},
    }
    files = {
        "rayjob.yaml": [run_yaml, _object("RayJob", settings, job)],
        "raycluster.yaml": [run_yaml, _object("RayCluster", settings, cluster)],
    }
    if settings.storage_gb is not None:
        files["storage.yaml"] = [_claim(settings)]
    return files


def cluster_spec(settings: LaunchSettings, workers: Range) -> ClusterSpec:
    """A cluster whose groups hold the range of workers."""
    head = resources_of(settings.head_cpus, settings.head_memory_gb)
    return ClusterSpec(
        rayVersion=metadata.version("ray"),
        enableInTreeAutoscaling=True,
        autoscalerOptions=Autoscaler(
            version="v2",
            idleTimeoutSeconds=settings.idle_minutes * 60,
            resources=resources_of(1, 1),
            securityContext=SAFE,
        ),
        authOptions=Auth(mode="token", secretName=settings.token_secret),
        headGroupSpec=Head(
            serviceType="ClusterIP",
            enableIngress=False,
            # Only inside the pod's own network: the service is a ClusterIP, and every call needs the token.
            rayStartParams={"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104
            template=pod_template(settings, "ray-head", head, None),
        ),
        workerGroupSpecs=tuple(_workers(settings, group) for group in groups_of(settings, workers)),
    )


def check(where: str, text: str, settings: LaunchSettings, workers: Range) -> None:
    """Check a file of these objects, also one that was edited since.

    Raises:
        UsageError: it is no such file, something in it is unsafe or inconsistent, or its bounds are not the run's.
    """
    specs = []
    for found in _documents(where, text):
        kinds: dict[str, type[JobSpec] | type[ClusterSpec]] = {"RayJob": JobSpec, "RayCluster": ClusterSpec}
        kind = kinds.get(str(found.get("kind")))
        if kind is None:
            continue
        try:
            spec = kind.model_validate(found.get("spec"))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{where}, {found['kind']} spec.{place}: {first['msg'].removeprefix('Value error, ')}"
            ) from None
        specs.append(spec if isinstance(spec, ClusterSpec) else spec.rayClusterSpec)
    if not specs:
        raise UsageError(f"{where}: holds neither a RayJob nor a RayCluster")
    for spec in specs:
        training = [
            (Range(group.minReplicas, group.maxReplicas), _slots(group, slots_of(settings, workers)))
            for group in spec.workerGroupSpecs
            if group.groupName.startswith(TRAINING)
        ]
        check_bounds(where, training, workers)


def _slots(group: Workers, without_gpu: int) -> int:
    return int(group.template.spec.containers[0].resources.limits.get(GPU, without_gpu))


def _documents(where: str, text: str) -> list[dict[str, Any]]:
    try:
        found = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: not valid YAML ({' '.join(str(error).split())[:160]})") from None
    if not all(isinstance(document, dict) for document in found):
        raise UsageError(f"{where}: holds something that is no Kubernetes object")
    return found


def _object(kind: str, settings: LaunchSettings, spec: JobSpec | ClusterSpec) -> dict[str, Any]:
    body = json.loads(spec.model_dump_json(exclude_none=True))
    return {"apiVersion": API, "kind": kind, "metadata": _named(settings, settings.name), "spec": body}


def _named(settings: LaunchSettings, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": settings.namespace, "labels": {"app.kubernetes.io/name": "docformer"}}


def _workers(settings: LaunchSettings, group: Group) -> Workers:
    resources = resources_of(group.cpus, group.memory_gb, group.gpus)
    return Workers(
        groupName=group.name,
        replicas=group.nodes.least,
        minReplicas=group.nodes.least,
        maxReplicas=group.nodes.most,
        rayStartParams={},
        template=pod_template(settings, "ray-worker", resources, group),
    )


def _claim(settings: LaunchSettings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": f"{settings.storage_gb}Gi"}},
    }
    if settings.storage_class is not None:
        spec["storageClassName"] = settings.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _named(settings, settings.claim),
        "spec": spec,
    }


def head_comment(settings: LaunchSettings, folder: Path) -> str:
    """How to use the files, as comment lines."""
    made = f"kubectl apply -f {folder}/storage.yaml, once; then: " if settings.storage_gb is not None else ""
    token = settings.token_secret or settings.name
    kubectl = f"kubectl -n {settings.namespace}"
    lines = (
        "Written by docformer launch kuberay; needs KubeRay 1.6 or newer (authOptions).",
        f"A job:     {made}kubectl apply -f {folder}/rayjob.yaml",
        f"A cluster: kubectl apply -f {folder}/raycluster.yaml, then from here",
        f"           {kubectl} port-forward service/{settings.name}-head-svc 8265",
        f"           {kubectl} get secret {token} -o jsonpath='{{.data.auth_token}}' | base64 -d > token",
        f"           RAY_AUTH_TOKEN_PATH=token docformer submit --python python --folder {settings.mount} -- COMMAND",
        f"Edited it? docformer launch kuberay --config run.yaml --check {folder}",
    )
    return "".join(f"# {line}\n" for line in lines)
