"""The part of KubeRay's and Kubernetes's objects that we write; an unsafe one cannot be put together.

Field names are Kubernetes's own. What a file holds besides is left to KubeRay's own schema (`cluster.launch.crd`).
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """Anything in a manifest."""

    model_config = ConfigDict(frozen=True)


class DropAll(Part):
    """Linux capabilities: none."""

    drop: tuple[Literal["ALL"]] = ("ALL",)


class Seccomp(Part):
    """The container runtime's filter of system calls."""

    type: Literal["RuntimeDefault"] = "RuntimeDefault"


class PodSecurity(Part):
    """A pod's user, never root."""

    runAsNonRoot: Literal[True]  # noqa: N815
    runAsUser: int = Field(ge=1)  # noqa: N815
    runAsGroup: int = Field(ge=1)  # noqa: N815
    fsGroup: int = Field(ge=1)  # noqa: N815
    seccompProfile: Seccomp  # noqa: N815


class ContainerSecurity(Part):
    """What a container may not do."""

    allowPrivilegeEscalation: Literal[False]  # noqa: N815
    capabilities: DropAll


class Resources(Part):
    """What a container gets: no less, no more."""

    requests: dict[str, str]
    limits: dict[str, str]

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.requests != self.limits or not {"cpu", "memory"} <= set(self.limits):
            raise ValueError("limits must name cpu and memory and be equal to the requests")
        return self


class SecretKey(Part):
    """A key of a secret."""

    name: str
    key: str


class From(Part):
    """Where a variable's value comes from."""

    secretKeyRef: SecretKey  # noqa: N815


class Variable(Part):
    """An environment variable: a plain value or a reference, not both."""

    name: str
    value: str | None = None
    valueFrom: From | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one(self) -> Self:
        from cluster.secrets import plain_variables

        if (self.value is None) == (self.valueFrom is None):
            raise ValueError(f"{self.name}: give either value or valueFrom")
        if self.value is not None:
            plain_variables({self.name: self.value})
        return self


class Container(Part):
    """A container."""

    name: str
    image: str
    resources: Resources
    securityContext: ContainerSecurity  # noqa: N815
    env: tuple[Variable, ...] = ()
    ports: tuple[dict[str, Any], ...] | None = None
    volumeMounts: tuple[dict[str, Any], ...] | None = None  # noqa: N815
    livenessProbe: dict[str, Any] | None = None  # noqa: N815
    readinessProbe: dict[str, Any] | None = None  # noqa: N815


class PodSpec(Part):
    """What a pod runs, and where."""

    containers: tuple[Container, ...] = Field(min_length=1)
    securityContext: PodSecurity  # noqa: N815
    hostNetwork: Literal[False] | None = None  # noqa: N815
    automountServiceAccountToken: bool | None = None  # noqa: N815
    terminationGracePeriodSeconds: int | None = None  # noqa: N815
    restartPolicy: Literal["Never"] | None = None  # noqa: N815
    nodeSelector: dict[str, str] | None = None  # noqa: N815
    tolerations: tuple[dict[str, str], ...] | None = None
    volumes: tuple[dict[str, Any], ...] | None = None


class Template(Part):
    """A pod to be."""

    metadata: dict[str, Any] | None = None
    spec: PodSpec

    def probed(self) -> bool:
        """Whether Kubernetes can tell that the pod is well."""
        return all(container.livenessProbe and container.readinessProbe for container in self.spec.containers)


class Head(Part):
    """The head of a cluster, reachable from inside Kubernetes alone."""

    serviceType: Literal["ClusterIP"]  # noqa: N815
    enableIngress: Literal[False]  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: Template


class Workers(Part):
    """A group of nodes that the autoscaler makes larger and smaller."""

    groupName: str  # noqa: N815
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)  # noqa: N815
    maxReplicas: int = Field(ge=1)  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: Template

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.minReplicas <= self.replicas <= self.maxReplicas:
            raise ValueError(
                f"group {self.groupName}: minReplicas {self.minReplicas}, replicas {self.replicas}, maxReplicas "
                f"{self.maxReplicas} must not fall"
            )
        return self


class Auth(Part):
    """Who may use the cluster: those with its token."""

    mode: Literal["token"]
    secretName: str | None = None  # noqa: N815


class Autoscaler(Part):
    """The container beside the head that adds and removes nodes."""

    version: Literal["v2"]
    idleTimeoutSeconds: int = Field(ge=1)  # noqa: N815
    resources: Resources
    securityContext: ContainerSecurity  # noqa: N815


class ClusterSpec(Part):
    """A Ray cluster."""

    rayVersion: str  # noqa: N815
    enableInTreeAutoscaling: Literal[True]  # noqa: N815
    autoscalerOptions: Autoscaler  # noqa: N815
    authOptions: Auth  # noqa: N815
    headGroupSpec: Head  # noqa: N815
    workerGroupSpecs: tuple[Workers, ...] = Field(min_length=1)  # noqa: N815

    @model_validator(mode="after")
    def _healthy(self) -> Self:
        for template in (self.headGroupSpec.template, *(group.template for group in self.workerGroupSpecs)):
            if not template.probed():
                raise ValueError("every Ray container needs a livenessProbe and a readinessProbe")
        return self


class JobSpec(Part):
    """A job with a cluster of its own."""

    entrypoint: str = Field(min_length=1)
    submissionMode: Literal["K8sJobMode"]  # noqa: N815
    shutdownAfterJobFinishes: Literal[True]  # noqa: N815
    ttlSecondsAfterFinished: int = Field(ge=0)  # noqa: N815
    backoffLimit: int = Field(ge=0)  # noqa: N815
    submitterPodTemplate: Template  # noqa: N815
    rayClusterSpec: ClusterSpec  # noqa: N815
