"""Limits on archives, and how other machines are asked for bytes."""

from pydantic import BaseModel, ConfigDict, Field


class SourceLimits(BaseModel):
    """Limits on what a source may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_ratio: float = Field(
        200.0, gt=1, description="bytes that one stored byte of an archive may unpack to; over free_bytes only"
    )
    free_bytes: int = Field(16 << 20, ge=0, description="bytes that a member may unpack to whatever its ratio")
    max_member_bytes: int = Field(1 << 30, ge=1, description="bytes of one member or document, unpacked")
    max_archive_bytes: int = Field(
        1 << 40, ge=1, description="bytes of all members of one archive together, unpacked; the rest is refused"
    )
    max_members: int = Field(10_000_000, ge=1, description="members of one archive; the rest is refused")
    attempts: int = Field(5, ge=1, description="times that a remote read is tried, waiting longer each time")
    timeout_s: float = Field(60.0, gt=0, description="wait for a remote answer, seconds")
