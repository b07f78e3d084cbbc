"""What the pretraining objectives do to a page; every default is the project's where the paper is silent."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ObjectiveSettings(BaseModel):
    """Settings of the three pretraining objectives and of a sample's size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoising: bool = Field(default=True, description="span corruption, written back by the decoder")
    token_to_line: bool = Field(default=True, description="pairs of tokens: same line, one line apart, two or more")
    token_to_grid: bool = Field(default=True, description="the grid cell of each token")
    noise_density: float = Field(default=0.15, description="share of tokens masked, above 0 and below 1", gt=0, lt=1)
    mean_span_tokens: float = Field(
        default=3.0, description="mean length of a masked span before line ends cut it", ge=1
    )
    spans_within_lines: bool = Field(default=True, description="cut a masked span in two where the visual line changes")
    hide_masked_boxes: bool = Field(
        default=True, description="hide a masked span's box; else its sentinel shows the union box"
    )
    max_text_tokens: int = Field(
        default=512, description="encoder text positions a page, after corruption, with eos", ge=2
    )
    max_target_tokens: int = Field(default=128, description="decoder positions a page, with sentinels and eos", ge=3)
    line_pairs: int = Field(default=64, description="pairs of tokens a page for token-to-line", ge=1)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The objectives that are on, by the names that the model's losses have."""
        switches = {"dlm": self.denoising, "line": self.token_to_line, "grid": self.token_to_grid}
        return tuple(task for task, on in switches.items() if on)

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not self.tasks:
            raise ValueError("all three objectives are off; leave denoising, token_to_line or token_to_grid on")
        return self
