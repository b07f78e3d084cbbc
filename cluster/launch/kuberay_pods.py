"""The pods of a KubeRay cluster: head, nodes, and the one that hands in the job."""

from typing import Any

from cluster.launch.kuberay_types import (
    Container,
    ContainerSecurity,
    DropAll,
    From,
    PodSecurity,
    PodSpec,
    Resources,
    Seccomp,
    SecretKey,
    Template,
    Variable,
)
from cluster.launch.nodes import Group
from cluster.launch.settings import LaunchSettings

CONFIG_FOLDER = "/etc/docformer"
DASHBOARD, AGENT, METRICS = 8265, 52365, 8080
# Time to save a checkpoint when a node is taken away.
GRACE_S = 120
GPU = "nvidia.com/gpu"
SAFE = ContainerSecurity(allowPrivilegeEscalation=False, capabilities=DropAll())


def pod_template(settings: LaunchSettings, name: str, resources: Resources, group: Group | None) -> Template:
    """The pod of the head (no group) or of a node of `group`."""
    tolerations = []
    if group is not None and group.spot and settings.spot_taint:
        tolerations.append({"key": settings.spot_taint, "operator": "Exists", "effect": "NoSchedule"})
    if group is not None and group.gpus:
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    selector = {
        **(settings.node_selector if group is not None and group.slots else {}),
        **(settings.spot_selector if group is not None and group.spot else {}),
    }
    container = Container(
        name=name,
        image=settings.image,
        resources=resources,
        securityContext=SAFE,
        env=_variables(settings),
        ports=_ports(head=group is None),
        livenessProbe=_probe(AGENT, "/api/local_raylet_healthz", failures=10),
        readinessProbe=_probe(DASHBOARD, "/api/gcs_healthz", failures=10)
        if group is None
        else _probe(AGENT, "/api/local_raylet_healthz", failures=3),
        volumeMounts=(
            {"name": "data", "mountPath": settings.mount},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
            {"name": "run", "mountPath": CONFIG_FOLDER, "readOnly": True},
        ),
    )
    shm = str(int(resources.limits["memory"].removesuffix("Gi")) // 3) + "Gi"
    return Template(
        metadata={
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS)},
            "labels": {"app.kubernetes.io/name": "docformer"},
        },
        spec=PodSpec(
            containers=(container,),
            securityContext=_user(settings),
            # The head's pod talks to Kubernetes to add nodes; a node has no business there.
            automountServiceAccountToken=None if group is None else False,
            terminationGracePeriodSeconds=GRACE_S,
            restartPolicy="Never",  # the autoscaler replaces a node by a new one; a pod is one node's
            nodeSelector=selector or None,
            tolerations=tuple(tolerations) or None,
            volumes=(
                {"name": "data", "persistentVolumeClaim": {"claimName": settings.claim}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shm}},
                {"name": "run", "configMap": {"name": f"{settings.name}-run"}},
            ),
        ),
    )


def submitter_pod(settings: LaunchSettings) -> Template:
    """The small pod that hands the job to the cluster; KubeRay gives it the command and the token."""
    container = Container(
        name="ray-job-submitter",
        image=settings.image,
        resources=resources_of(1, 2),
        securityContext=SAFE,
    )
    return Template(
        spec=PodSpec(
            containers=(container,),
            securityContext=_user(settings),
            automountServiceAccountToken=False,
            restartPolicy="Never",
        )
    )


def resources_of(cpus: int, memory_gb: int, gpus: int = 0) -> Resources:
    """What a container asks for, and may not exceed."""
    amount = {"cpu": str(cpus), "memory": f"{memory_gb}Gi", **({GPU: str(gpus)} if gpus else {})}
    return Resources(requests=amount, limits=amount)


def _ports(head: bool) -> tuple[dict[str, Any], ...]:
    ports = [{"name": "metrics", "containerPort": METRICS}]
    if head:
        ports = [
            {"name": "gcs-server", "containerPort": 6379},
            {"name": "dashboard", "containerPort": DASHBOARD},
            *ports,
        ]
    return tuple(ports)


def _user(settings: LaunchSettings) -> PodSecurity:
    user = settings.user_id
    return PodSecurity(runAsNonRoot=True, runAsUser=user, runAsGroup=user, fsGroup=user, seccompProfile=Seccomp())


def _variables(settings: LaunchSettings) -> tuple[Variable, ...]:
    plain = {"DOCFORMER_LOG": "json", "DOCFORMER_RUN_ID": settings.name, **settings.env}
    found = [Variable(name=name, value=value) for name, value in plain.items()]
    for name, reference in settings.secret_env.items():
        secret, _, key = reference.partition("/")
        found.append(Variable(name=name, valueFrom=From(secretKeyRef=SecretKey(name=secret, key=key))))
    return tuple(found)


def _probe(port: int, path: str, failures: int) -> dict[str, Any]:
    # These answers need no token: they say that Ray is well, and nothing else.
    return {
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": 30,
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
