"""Settings of `docformer launch`: names, image, nodes and storage; the number of workers is the run's own."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cluster.secrets import plain_variables

LABEL = r"^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$"


def pinned_image(image: str) -> str:
    """Return `image`; raises ValueError unless it names a version or a digest."""
    name = image.rsplit("/", 1)[-1]
    tag = name.partition("@")[2] or name.partition(":")[2]
    if tag in ("", "latest"):
        raise ValueError("names no version; end it in :VERSION (not latest) or @sha256:DIGEST")
    return image


def secret_references(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return `values`, each SECRET/KEY; raises ValueError for anything else, without the value."""
    for name, value in values.items():
        secret, slash, key = value.partition("/")
        if not (slash and secret and key) or "/" in key or len(value) > 120 or not value.isascii() or " " in value:
            raise ValueError(f"{name} must refer to a secret as SECRET/KEY; the value itself is never written down")
    return values


class LaunchSettings(BaseModel):
    """What the launch files ask for; section `launch` of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("docformer", pattern=LABEL, description="of the job and its cluster")
    image: Annotated[str, AfterValidator(pinned_image)] = Field(
        description="container image built from the Dockerfile, with its version, like registry/docformer:0.1.0-cuda"
    )
    namespace: str = Field("default", pattern=LABEL, description="Kubernetes namespace")
    device: Literal["gpu", "cpu"] = Field("gpu", description="what a training worker books: one GPU, or CPUs alone")
    gpu: str = Field("H100", description="kind of GPU, by the name SkyPilot knows it by")
    workers_per_node: int = Field(8, ge=1, le=64, description="training workers of a node: its GPUs, if it has any")
    node_cpus: int = Field(64, ge=2, description="CPUs of a training node")
    node_memory_gb: int = Field(512, ge=4, description="memory of a training node, GB")
    spot: Literal["none", "extra", "all"] = Field(
        "extra", description="nodes that may be taken away: none; those above the smallest number of workers; all"
    )
    cpu_nodes: str = Field(
        "0:0",
        pattern=r"^\d+:\d+$",
        description="MIN:MAX nodes without GPU beside them, for building corpora; none with SkyPilot",
    )
    cpu_node_cpus: int = Field(16, ge=2, description="CPUs of such a node")
    cpu_node_memory_gb: int = Field(64, ge=4, description="memory of such a node, GB")
    head_cpus: int = Field(4, ge=2, description="CPUs of the head node, which runs no work")
    head_memory_gb: int = Field(16, ge=4, description="memory of the head node, GB")
    node_selector: Mapping[str, str] = Field(
        default_factory=dict, description="Kubernetes labels of the training nodes"
    )
    spot_selector: Mapping[str, str] = Field(
        default_factory=dict, description="Kubernetes labels of nodes that may be taken away"
    )
    spot_taint: str | None = Field(None, description="key of the taint that such nodes carry")
    instance_type: str | None = Field(None, description="Anyscale: instance type of a training node")
    head_instance_type: str | None = Field(None, description="Anyscale: instance type of the head node")
    cpu_instance_type: str | None = Field(None, description="Anyscale: instance type of a node without GPU")
    mount: str = Field("/data", pattern=r"^/[\w/.-]+$", description="where all nodes see the storage")
    claim: str = Field("docformer-data", pattern=LABEL, description="volume claim (or SkyPilot volume) of the storage")
    storage_gb: int | None = Field(
        None, ge=1, description="make the claim with this size, GB; default: it is there already"
    )
    storage_class: str | None = Field(None, description="storage class of a new claim; it must allow ReadWriteMany")
    bucket: str | None = Field(
        None,
        pattern=r"^(s3|gs|r2|cos)://[\w.-]+(/[\w./-]*)?$",
        description="SkyPilot: bucket as storage, cached writes",
    )
    idle_minutes: int = Field(5, ge=1, description="after which an idle node is given back")
    keep_hours: float = Field(
        0.0, ge=0, description="KubeRay: that a finished job's cluster stays, with its GPUs, for a look at it"
    )
    env: Annotated[Mapping[str, str], AfterValidator(plain_variables)] = Field(
        default_factory=dict, description="environment variables; no secrets"
    )
    secret_env: Annotated[Mapping[str, str], AfterValidator(secret_references)] = Field(
        default_factory=dict, description="environment variables from secrets, each as SECRET/KEY"
    )
    token_secret: str | None = Field(
        None, pattern=LABEL, description="secret with Ray's token under auth_token; default: KubeRay makes one"
    )
    user_id: int = Field(1000, ge=1, description="of the user that runs everything; never root")
