"""Generated batches and small models for the model's tests."""

from typing import Any

import torch

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration


def small_config(**changes: Any) -> DocFormerV2Config:
    """A model of a few thousand weights that still has every part."""
    fields: dict[str, Any] = {
        "vocab_size": 97,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
        "image_height": 32,
        "image_width": 24,
        "visual_rows": 4,
        "visual_columns": 2,
        "stem_channels": [4, 8],
    }
    return DocFormerV2Config(**{**fields, **changes})


def small_model(seed: int = 0, **changes: Any) -> DocFormerV2ForConditionalGeneration:
    torch.manual_seed(seed)
    return DocFormerV2ForConditionalGeneration(small_config(**changes)).eval()


def page_batch(config: DocFormerV2Config, batch: int = 3, tokens: int = 12, targets: int = 7, seed: int = 0) -> Any:
    """A batch with every argument of forward: ragged texts, hidden boxes, ignored labels, pictures."""
    generator = torch.Generator().manual_seed(seed)

    def integers(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    lengths = torch.linspace(tokens, max(tokens // 2, 1), batch).long()
    real = torch.arange(tokens)[None] < lengths[:, None]
    corner = integers(600, batch, tokens, 2)
    labels = 2 + integers(config.vocab_size - 2, batch, targets)
    labels[-1, targets // 2 :] = -100
    grid_targets = integers(config.grid_cells, batch, tokens).masked_fill(~real, -100)
    line_targets = integers(config.line_classes, batch, 5)
    line_targets[0, 0] = -100
    return {
        "input_ids": (2 + integers(config.vocab_size - 2, batch, tokens)).masked_fill(~real, 0),
        "attention_mask": real.long(),
        "bbox": torch.cat([corner, corner + integers(401, batch, tokens, 2)], -1) * real[..., None],
        "bbox_hidden": (torch.rand(batch, tokens, generator=generator) < 0.3) & real,
        "pixel_values": integers(256, batch, 3, config.image_height, config.image_width).to(torch.uint8),
        "labels": labels,
        "line_pairs": integers(int(lengths.min()), batch, 5, 2),
        "line_targets": line_targets,
        "grid_targets": grid_targets,
    }


def page_inputs(batch: Any) -> Any:
    """The page's part of a batch: what the encoder takes."""
    return {name: batch[name] for name in ("input_ids", "attention_mask", "bbox", "bbox_hidden", "pixel_values")}
