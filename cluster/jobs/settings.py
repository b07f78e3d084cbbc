"""Settings of `docformer submit`."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cluster.secrets import plain_variables


class SubmitSettings(BaseModel):
    """Where and how a command runs as a Ray job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None, description="of the cluster's dashboard; default: $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265"
    )
    folder: str | None = Field(
        None,
        description="folder on the cluster, shared by its nodes, in which the command runs; default on this machine: "
        "the current one",
    )
    python: str | None = Field(
        None, description="interpreter on the cluster; default: this one on this machine, elsewhere python on its PATH"
    )
    install: bool = Field(False, description="install the pinned packages for the job; else the cluster has them")
    env: Annotated[Mapping[str, str], AfterValidator(plain_variables)] = Field(
        default_factory=dict, description="environment variables of the job; no secrets, the cluster holds those"
    )
    stop_wait_s: int = Field(120, ge=1, description="seconds that a stopped job gets to save and end")
