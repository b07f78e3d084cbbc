"""The transformer's sublayers, each one residual line: T5's pre-norm self-attention, cross-attention, feed-forward.

Legend of the shapes in model/, in lower case also as suffixes of names (x_bsd): B batch, S encoder positions,
T decoder positions, Q queries, K keys, D width (d_model), H heads, C head width (d_kv), F feed-forward width,
V vocabulary, P pairs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from model.attention import Bias, attention
from model.config import DocFormerV2Config
from model.norm import RMSNorm
from model.rectified import rectified


class SelfAttention(nn.Module):
    """Attention of a stack's positions over each other; queries, keys and values come from one product."""

    def __init__(self, config: DocFormerV2Config, layer: int) -> None:
        super().__init__()
        self.heads, self.head_width, self.layer = config.num_heads, config.d_kv, layer
        inner = config.num_heads * config.d_kv
        self.qkv = nn.Linear(config.d_model, 3 * inner, bias=False)
        self.out = nn.Linear(inner, config.d_model, bias=False)

    def forward(self, x_bqd: Tensor, bias: Bias, visible: Tensor | None, path: str, cache: Any) -> Tensor:
        """[B, Q, D] to [B, Q, D]; with a cache, earlier positions' keys and values stand before these."""
        batch, queries, _ = x_bqd.shape
        query, key, value = (
            self.qkv(x_bqd).view(batch, queries, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4).unbind(0)
        )
        if cache is not None:
            key, value = cache.self_attention_cache.update(key, value, self.layer)
        attended_bhqc = attention(query, key, value, bias, visible, path)
        out: Tensor = self.out(attended_bhqc.transpose(1, 2).reshape(batch, queries, -1))
        return out


class CrossAttention(nn.Module):
    """Attention of the decoder's positions over the encoder's; keys and values are projected once a sequence."""

    def __init__(self, config: DocFormerV2Config, layer: int) -> None:
        super().__init__()
        self.heads, self.head_width, self.layer = config.num_heads, config.d_kv, layer
        inner = config.num_heads * config.d_kv
        self.query = nn.Linear(config.d_model, inner, bias=False)
        self.key_value = nn.Linear(config.d_model, 2 * inner, bias=False)
        self.out = nn.Linear(inner, config.d_model, bias=False)

    def forward(self, x_btd: Tensor, encoded_bsd: Tensor, visible: Tensor | None, path: str, cache: Any) -> Tensor:
        """[B, T, D] and [B, S, D] to [B, T, D]."""
        batch, queries, _ = x_btd.shape
        query = self.query(x_btd).view(batch, queries, self.heads, self.head_width).transpose(1, 2)
        if cache is not None and cache.is_updated.get(self.layer):
            stored = cache.cross_attention_cache.layers[self.layer]
            key, value = stored.keys, stored.values
        else:
            key, value = (
                self.key_value(encoded_bsd)
                .view(batch, encoded_bsd.shape[1], 2, self.heads, self.head_width)
                .permute(2, 0, 3, 1, 4)
                .unbind(0)
            )
            if cache is not None:
                key, value = cache.cross_attention_cache.update(key, value, self.layer)
                cache.is_updated[self.layer] = True
        attended_bhtc = attention(query, key, value, None, visible, path)
        out: Tensor = self.out(attended_bhtc.transpose(1, 2).reshape(batch, queries, -1))
        return out


class FeedForward(nn.Module):
    """T5 1.0's ReLU layer, or T5 1.1's gated GELU, whose two input products are one."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.gated = config.feed_forward_proj == "gated-gelu"
        self.inner = nn.Linear(config.d_model, config.d_ff * (2 if self.gated else 1), bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.out = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D]."""
        inner = self.inner(x)
        if self.gated:
            gate, linear = inner.chunk(2, dim=-1)
            inner = F.gelu(gate, approximate="tanh") * linear
        else:
            inner = rectified(inner, in_place=self._may_write(inner))
        out: Tensor = self.out(self.dropout(inner))
        return out

    def _may_write(self, inner: Tensor) -> bool:
        """Not what another layer in its place gave (quantised, adapted), nor one with hooks."""
        return not torch.compiler.is_compiling() and type(self.inner) is nn.Linear and not inner._is_view()


class EncoderLayer(GradientCheckpointingLayer):  # type: ignore[misc]
    """Self-attention, then feed-forward."""

    def __init__(self, config: DocFormerV2Config, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.attention = SelfAttention(config, layer)
        self.feed_forward_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x_bsd: Tensor, bias: Bias, visible: Tensor | None, path: str) -> Tensor:
        """[B, S, D] to [B, S, D]."""
        x_bsd = x_bsd + self.dropout(self.attention(self.attention_norm(x_bsd), bias, visible, path, None))
        out: Tensor = x_bsd + self.dropout(self.feed_forward(self.feed_forward_norm(x_bsd)))
        return out


class DecoderLayer(GradientCheckpointingLayer):  # type: ignore[misc]
    """Causal self-attention, attention over the encoder, then feed-forward."""

    def __init__(self, config: DocFormerV2Config, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.attention = SelfAttention(config, layer)
        self.cross_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.cross = CrossAttention(config, layer)
        self.feed_forward_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self,
        x_btd: Tensor,
        encoded_bsd: Tensor,
        bias: Bias,
        visible: Tensor | None,
        encoded_visible: Tensor | None,
        path: str,
        past_key_values: Any = None,
    ) -> Tensor:
        """[B, T, D] and [B, S, D] to [B, T, D]."""
        cache = past_key_values
        x_btd = x_btd + self.dropout(self.attention(self.attention_norm(x_btd), bias, visible, path, cache))
        x_btd = x_btd + self.dropout(self.cross(self.cross_norm(x_btd), encoded_bsd, encoded_visible, path, cache))
        out: Tensor = x_btd + self.dropout(self.feed_forward(self.feed_forward_norm(x_btd)))
        return out
