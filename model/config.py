"""The model's configuration and its four presets."""

import difflib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from transformers import PreTrainedConfig

from model.errors import ModelInputError

COORDINATE_BUCKETS = 1000
VISUAL_TEXT_MODALITIES = 2
ATTENTION_PATHS = ("auto", "reference", "sample", "sdpa", "flex")
PACKING = ("auto", "always", "never")

PRESETS: dict[str, dict[str, Any]] = {
    # Small enough to pretrain on two cores in minutes: a quarter of the picture, a quarter of the visual tokens.
    "tiny": {
        "vocab_size": 4096,
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 512,
        "num_heads": 4,
        "num_layers": 3,
        "num_decoder_layers": 2,
        "image_height": 256,
        "image_width": 192,
        "visual_rows": 8,
        "visual_columns": 4,
        "stem_channels": [8, 16, 32, 64],
    },
    "small": {},
    "base": {"d_model": 768, "d_ff": 3072, "num_heads": 12, "num_layers": 12},
    "large": {"d_model": 1024, "d_ff": 4096, "num_heads": 16, "num_layers": 24},
}


# Fields that are counts of something.
SIZES = (
    *("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"),
    *("relative_attention_num_buckets", "relative_attention_max_distance", "coordinate_buckets"),
    *("image_height", "image_width", "visual_rows", "visual_columns", "grid_rows", "grid_columns"),
)


class DocFormerV2Config(PreTrainedConfig):  # type: ignore[misc]
    """Sizes and switches of a DocFormerV2; the defaults are preset `small` (T5 1.0 small with the page's additions).

    Backbone (T5's names and meanings):
        vocab_size: rows of the token embedding; set it from the tokenizer.
        d_model, d_kv, d_ff: width of a position, of one head, of the feed-forward layer.
        num_layers, num_decoder_layers: encoder and decoder depth; the decoder is as deep as the encoder by default.
        num_heads: attention heads of every layer.
        relative_attention_num_buckets, relative_attention_max_distance: T5's 1-D relative position bias.
        feed_forward_proj: "relu" (T5 1.0) or "gated-gelu" (T5 1.1, flan).
        tie_word_embeddings: the output layer is the token embedding (1.0) or has its own weights (1.1).
        scale_decoder_outputs: multiply the decoder's output by d_model ** -0.5 before the output layer, as T5 1.0
            does; by default where the embeddings are tied.
        dropout_rate: 0..1; 0 by default, so that a loss does not depend on how samples are spread over workers.
        layer_norm_epsilon, initializer_factor: as in T5.

    Page (our defaults where the paper is silent):
        image_height, image_width: page picture in pixels.
        image_mean, image_std: per RGB channel, of values scaled to 0..1; applied on the model's device.
        visual_rows, visual_columns: the visual tokens' grid; together they cover the whole page.
        stem_channels: widths of the 2x2 stride-2 convolutions before the one that maps a patch to d_model.
        coordinate_buckets: rows of each spatial table; a coordinate v in 0..1000 takes row min(v, rows - 1).
        spatial_init: "fourier" (neighbouring coordinates start alike) or "normal".
        grid_rows, grid_columns: cells of the token-to-grid task.
        line_classes: classes of the token-to-line head; pretraining's labels are the first three (same line, one apart,
            further apart).
        loss_weight_dlm, loss_weight_line, loss_weight_grid: weights of the three losses; 0 switches one off.
        attention_path: "auto" (by device, as measured), "reference", "sample", "sdpa" or "flex".
        packing: where padding is left out of both stacks, the batch's sequences side by side in one row: "auto" (by
            attention path "sample", in steps that are not compiled), "always" (on CUDA by FlexAttention) or "never".
            MFU counts padding all the same (`flops.RULE`).

    Raises:
        ModelInputError: sizes that do not fit together.
    """

    model_type = "docformerv2"
    # What Trainer leaves out of predictions: they begin with the logits. (transformers adds lists to it.)
    keys_to_ignore_at_inference = ["past_key_values", "loss_dlm", "loss_line", "loss_grid", "counts"]  # noqa: RUF012
    attribute_map = {  # noqa: RUF012 (the base class's own form)
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    feed_forward_proj: str = "relu"
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool | None = None
    dropout_rate: float = 0.0
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0

    image_height: int = 512
    image_width: int = 384
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    visual_rows: int = 16
    visual_columns: int = 8
    stem_channels: list[int] | None = None
    coordinate_buckets: int = COORDINATE_BUCKETS
    spatial_init: str = "fourier"
    grid_rows: int = 4
    grid_columns: int = 4
    line_classes: int = 3
    loss_weight_dlm: float = 1.0
    loss_weight_line: float = 1.0
    loss_weight_grid: float = 1.0
    attention_path: str = "auto"
    packing: str = "auto"

    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    decoder_start_token_id: int | None = 0

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill the defaults that depend on other fields, then check that the sizes fit together."""
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.scale_decoder_outputs is None:
            self.scale_decoder_outputs = self.tie_word_embeddings
        if self.stem_channels is None:
            self.stem_channels = [16, 32, 64, 128]
        if self.image_mean is None:
            self.image_mean = [0.5, 0.5, 0.5]
        if self.image_std is None:
            self.image_std = [0.5, 0.5, 0.5]
        self._check()
        super().__post_init__(**kwargs)

    def _check(self) -> None:
        if self.feed_forward_proj not in ("relu", "gated-gelu"):
            raise ModelInputError(f"feed_forward_proj is {self.feed_forward_proj!r}: use 'relu' or 'gated-gelu'")
        if self.attention_path not in ATTENTION_PATHS:
            raise ModelInputError(f"attention_path is {self.attention_path!r}: use one of {', '.join(ATTENTION_PATHS)}")
        if self.packing not in PACKING:
            raise ModelInputError(f"packing is {self.packing!r}: use one of {', '.join(PACKING)}")
        if self.spatial_init not in ("fourier", "normal"):
            raise ModelInputError(f"spatial_init is {self.spatial_init!r}: use 'fourier' or 'normal'")
        for name in SIZES:
            size = getattr(self, name)
            if not isinstance(size, int) or size < 1:
                raise ModelInputError(f"{name} is {size!r}: use a whole number, at least 1")
        if self.line_classes < 3:
            raise ModelInputError(f"line_classes is {self.line_classes}: the token-to-line labels need 3")
        if self.grid_rows * self.grid_columns > 256:
            raise ModelInputError(f"the grid has {self.grid_rows} x {self.grid_columns} cells: use at most 256")
        shrink = 2 ** len(self.stem_channels or [])
        for side, tokens, name in (
            (self.image_height, self.visual_rows, "image_height / visual_rows"),
            (self.image_width, self.visual_columns, "image_width / visual_columns"),
        ):
            if side % (shrink * tokens):
                raise ModelInputError(
                    f"{name} is {side} / {tokens}: the side must be a multiple of {tokens} x {shrink} "
                    f"(the stem halves it {len(self.stem_channels or [])} times)"
                )

    @property
    def visual_tokens(self) -> int:
        """Encoder positions that one page picture takes."""
        return self.visual_rows * self.visual_columns

    @property
    def grid_cells(self) -> int:
        """Classes of the token-to-grid task."""
        return self.grid_rows * self.grid_columns

    @classmethod
    def refuse_unknown(cls, names: Iterable[str]) -> None:
        """Raise ModelInputError where one of `names` is no field: the base class would keep it and nobody read it."""
        known = [field.name for field in fields(cls)]
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"; did you mean {close[0]!r}?" if close else f": use fields of {cls.__name__}"
                raise ModelInputError(f"unknown model field {name!r}{hint}")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "DocFormerV2Config":
        """The configuration `name` (tiny, small, base or large) with `changes` to single fields.

        Raises:
            ModelInputError: there is no such preset, or no such field.
        """
        if name not in PRESETS:
            raise ModelInputError(f"no preset {name!r}: use one of {', '.join(PRESETS)}")
        cls.refuse_unknown(changes)
        return cls(**{**PRESETS[name], **changes})
