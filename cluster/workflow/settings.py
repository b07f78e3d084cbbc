"""Sections `run` and `tokenizer` of a configuration."""

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """Where `docformer run` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: str = Field("out", description="folder of everything that `docformer run` makes")


class TokenizerSettings(BaseModel):
    """The vocabulary that `docformer run` trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(32_000, ge=1, description="pieces of the vocabulary, sentinels not counted; T5 has 32000")
