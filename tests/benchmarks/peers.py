"""DocFormerV2, T5 and UDOP of one size, each with a batch of as many encoder and decoder positions as the others."""

import argparse
from collections.abc import Callable
from typing import Any

import torch

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration


def sizes(preset: str) -> dict[str, Any]:
    """T5's names for the sizes of a preset."""
    config = DocFormerV2Config.preset(preset)
    names = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads")
    return {name: getattr(config, name) for name in names}


def texts(args: argparse.Namespace, tokens: int, vocabulary: int) -> dict[str, torch.Tensor]:
    shape = (args.batch, tokens)
    mask = torch.ones(shape, dtype=torch.long)
    if args.padding:
        lengths = torch.linspace(tokens * (1 - 2 * args.padding), tokens, args.batch).long()
        mask = (torch.arange(tokens)[None] < lengths[:, None]).long()
    return {
        "input_ids": torch.randint(3, vocabulary, shape),
        "attention_mask": mask,
        "labels": torch.randint(3, vocabulary, (args.batch, args.targets)),
    }


def boxes(*shape: int) -> torch.Tensor:
    corner = torch.randint(0, 500, (*shape, 2))
    return torch.cat([corner, corner + torch.randint(0, 500, (*shape, 2))], -1)


def docformer(args: argparse.Namespace) -> tuple[torch.nn.Module, dict[str, Any]]:
    config = DocFormerV2Config.preset(args.preset, attention_path=args.path)
    text = args.positions - config.visual_tokens
    batch: dict[str, Any] = texts(args, text, config.vocab_size)
    batch |= {
        "bbox": boxes(args.batch, text),
        "bbox_hidden": torch.rand(args.batch, text) < 0.1,
        "pixel_values": torch.randint(0, 256, (args.batch, 3, config.image_height, config.image_width)).byte(),
        "line_pairs": torch.randint(0, text // 2, (args.batch, 64, 2)),
        "line_targets": torch.randint(0, 3, (args.batch, 64)),
        "grid_targets": torch.randint(0, config.grid_cells, (args.batch, text)),
        "skip_logits": True,
    }
    return DocFormerV2ForConditionalGeneration(config), batch


def t5(args: argparse.Namespace) -> tuple[torch.nn.Module, dict[str, Any]]:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(**sizes(args.preset), dropout_rate=0.0, decoder_start_token_id=0)
    return T5ForConditionalGeneration(config), texts(args, args.positions, config.vocab_size)


def udop(args: argparse.Namespace) -> tuple[torch.nn.Module, dict[str, Any]]:
    from transformers import UdopConfig, UdopForConditionalGeneration

    # 128 patches of 16 x 16 pixels, as many as DocFormerV2 has visual tokens at `small` and above.
    side = 16 * int(DocFormerV2Config.preset(args.preset).visual_tokens ** 0.5)
    config = UdopConfig(
        **sizes(args.preset), dropout_rate=0.0, decoder_start_token_id=0, image_size=side, patch_size=16
    )
    patches = (side // 16) ** 2
    batch: dict[str, Any] = texts(args, args.positions - patches, config.vocab_size)
    batch |= {
        "bbox": boxes(args.batch, args.positions - patches).float() / 1000,
        "pixel_values": torch.rand(args.batch, 3, side, side),
    }
    return UdopForConditionalGeneration(config), batch


MODELS: dict[str, Callable[[argparse.Namespace], tuple[torch.nn.Module, dict[str, Any]]]] = {
    "docformerv2": docformer,
    "t5": t5,
    "udop": udop,
}
