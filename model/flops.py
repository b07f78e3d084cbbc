"""The one rule by which this project counts arithmetic, and MFU from it."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from model.config import DocFormerV2Config

RULE = (
    "FLOPs of a training step = 3 x (2 x weights of matrix products x positions they act on + attention score and "
    "value products); padding positions counted, causal attention counted whole, output layer counted at every "
    "decoder position, visual stem and encoder heads counted; recomputation, embeddings, norms and softmax not."
)

# Dense peaks in FLOP/s by a part of the device's name: bf16 and TF32 (which fp32 products take when allowed).
PEAKS: dict[str, dict[torch.dtype, float]] = {
    "H200": {torch.bfloat16: 989e12, torch.float32: 494e12},
    "H100": {torch.bfloat16: 989e12, torch.float32: 494e12},
    "A100": {torch.bfloat16: 312e12, torch.float32: 156e12},
}


@dataclass(frozen=True)
class StepFlops:
    """FLOPs of one sample's training step, by part."""

    encoder: int
    decoder: int
    attention: int
    output: int
    stem: int
    heads: int

    @property
    def total(self) -> int:
        """FLOPs of the whole step."""
        return self.encoder + self.decoder + self.attention + self.output + self.stem + self.heads


def step_flops(
    config: DocFormerV2Config, text_tokens: int, target_tokens: int, picture: bool = True, pairs: int = 0
) -> StepFlops:
    """FLOPs of one sample's forward and backward by `RULE`.

    Args:
        config: the model.
        text_tokens: text positions of the encoder, padding included.
        target_tokens: decoder positions, padding included.
        picture: whether there are visual tokens too.
        pairs: token pairs of token-to-line; 0 leaves both encoder heads out.
    """
    width, inner = config.d_model, config.num_heads * config.d_kv
    feed_forward = width * config.d_ff * (3 if config.feed_forward_proj == "gated-gelu" else 2)
    source, target = text_tokens + (config.visual_tokens if picture else 0), target_tokens
    encoder_layers, decoder_layers = config.num_layers, config.num_decoder_layers or config.num_layers
    # Queries, keys, values and output of self-attention; cross keys and values act on the encoder's positions.
    encoder = encoder_layers * source * (4 * width * inner + feed_forward)
    # Without a target there is no decoder, which would act on the encoder's positions too.
    decoder = decoder_layers * (target * (6 * width * inner + feed_forward) + (target > 0) * source * 2 * width * inner)
    scores = encoder_layers * source * source + decoder_layers * (target * target + target * source)
    output = target * width * config.vocab_size
    heads = (pairs * (2 * width * width + width * config.line_classes) + text_tokens * width * config.grid_cells) * (
        pairs > 0
    )
    return StepFlops(
        encoder=6 * encoder,
        decoder=6 * decoder,
        attention=6 * 2 * inner * scores,
        output=6 * output,
        stem=6 * _stem_weights(config) if picture else 0,
        heads=6 * heads,
    )


def _stem_weights(config: DocFormerV2Config) -> int:
    """Weights of the visual stem times the places each acts on."""
    channels = [3, *(config.stem_channels or [])]
    products, pixels = 0, config.image_height * config.image_width
    for before, after in pairwise(channels):
        pixels //= 4
        products += pixels * 4 * before * after
    products += pixels * channels[-1] * config.d_model
    return products + config.visual_tokens * config.d_model * config.d_model


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """The device's dense peak in FLOP/s for `dtype`, or None where it is not known (every CPU)."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peaks.get(dtype) for part, peaks in PEAKS.items() if part in name), None)


def mfu(flops_per_second: float, device: torch.device, dtype: torch.dtype) -> float | None:
    """Share 0..1 of the device's dense peak that `flops_per_second` is, or None where the peak is not known."""
    peak = peak_flops(device, dtype)
    return None if peak is None else flops_per_second / peak
