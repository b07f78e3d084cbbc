"""Every initialisation of the model, in one place: T5's scales, and ours for what T5 does not have."""

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init

from model.config import DocFormerV2Config
from model.embeddings import SPATIAL_TABLES, PageEmbeddings, SpatialEmbedding, VisualStem
from model.heads import TokenToGrid, TokenToLine
from model.layers import CrossAttention, FeedForward, SelfAttention
from model.norm import RMSNorm
from model.position_bias import PositionBias

# Longest and shortest wave of the spatial tables' start, in coordinate buckets.
LONGEST_WAVE, SHORTEST_WAVE = 2000.0, 8.0


def initialise(module: nn.Module, config: DocFormerV2Config) -> None:
    """Give the parameters that `module` itself holds their starting values (parameters loaded from a file keep theirs).

    T5 keeps no C ** -0.5 in its scores: the query weights carry it. A sum of six spatial rows starts with the
    variance of one token row.
    """
    factor, width = config.initializer_factor, config.d_model
    inner = config.num_heads * config.d_kv
    if isinstance(module, RMSNorm):
        init.constant_(module.weight, factor)
    elif isinstance(module, SelfAttention):
        query_std, other_std = factor * (width * config.d_kv) ** -0.5, factor * width**-0.5
        if not getattr(module.qkv.weight, "_is_hf_initialized", False):
            with torch.no_grad():
                module.qkv.weight[:inner].normal_(0.0, query_std)
                module.qkv.weight[inner:].normal_(0.0, other_std)
        init.normal_(module.out.weight, 0.0, factor * inner**-0.5)
    elif isinstance(module, CrossAttention):
        init.normal_(module.query.weight, 0.0, factor * (width * config.d_kv) ** -0.5)
        init.normal_(module.key_value.weight, 0.0, factor * width**-0.5)
        init.normal_(module.out.weight, 0.0, factor * inner**-0.5)
    elif isinstance(module, FeedForward):
        init.normal_(module.inner.weight, 0.0, factor * width**-0.5)
        init.normal_(module.out.weight, 0.0, factor * config.d_ff**-0.5)
    elif isinstance(module, PositionBias):
        init.normal_(module.table.weight, 0.0, factor * width**-0.5)
    elif isinstance(module, SpatialEmbedding):
        std = factor * SPATIAL_TABLES**-0.5
        if config.spatial_init == "normal":
            init.normal_(module.tables.weight, 0.0, std)
        elif not getattr(module.tables.weight, "_is_hf_initialized", False):
            _fourier_(module.tables.weight, config.coordinate_buckets, std)
    elif isinstance(module, VisualStem):
        for convolution in (*module.halvings, module.patch):
            assert isinstance(convolution, nn.Conv2d)
            init.normal_(convolution.weight, 0.0, factor * (2 / convolution.weight[0].numel()) ** 0.5)
            _zero_bias(convolution)
        init.normal_(module.project.weight, 0.0, factor * width**-0.5)
        _zero_bias(module.project)
    elif isinstance(module, PageEmbeddings):
        init.normal_(module.tokens.weight, 0.0, factor)
        init.normal_(module.hidden_box, 0.0, factor)
        init.normal_(module.visual_position.weight, 0.0, factor)
        init.normal_(module.modality.weight, 0.0, factor)
    elif isinstance(module, TokenToLine):
        init.normal_(module.inner.weight, 0.0, factor * (2 * width) ** -0.5)
        init.normal_(module.out.weight, 0.0, factor * width**-0.5)
        _zero_bias(module.inner)
        _zero_bias(module.out)
    elif isinstance(module, TokenToGrid):
        init.normal_(module.out.weight, 0.0, factor * width**-0.5)
        _zero_bias(module.out)


def initialise_output(output: nn.Linear, config: DocFormerV2Config) -> None:
    """Start an output layer of its own (T5 1.1) so that first logits have unit variance."""
    init.normal_(output.weight, 0.0, config.initializer_factor * config.d_model**-0.5)


def _zero_bias(module: nn.Linear | nn.Conv2d) -> None:
    if module.bias is not None:
        init.zeros_(module.bias)


@torch.no_grad()
def _fourier_(tables: Tensor, buckets: int, std: float) -> None:
    """Fill [tables x buckets, D]: each column of each table a cosine over the buckets, of random wave and phase.

    A row seen rarely in training then starts close to its neighbours, which are seen for it.
    """
    count, width = tables.shape[0] // buckets, tables.shape[1]
    wave = SHORTEST_WAVE * (LONGEST_WAVE / SHORTEST_WAVE) ** torch.rand(count, 1, width, device=tables.device)
    phase = 2 * math.pi * torch.rand(count, 1, width, device=tables.device)
    coordinate = torch.arange(buckets, device=tables.device, dtype=torch.float32)[None, :, None]
    tables.copy_((std * math.sqrt(2) * torch.cos(2 * math.pi * coordinate / wave + phase)).view_as(tables))
