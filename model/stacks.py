"""The two stacks: layers over positions, one position bias computed once a forward and shared by all layers."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from model.attention import PositionBias, choose_path, prepare_bias
from model.config import DocFormerV2Config
from model.embeddings import PageEmbeddings
from model.errors import ModelInputError
from model.layers import DecoderLayer, EncoderLayer, RMSNorm


def _position_bias(config: DocFormerV2Config, bidirectional: bool) -> PositionBias:
    return PositionBias(
        config.num_heads,
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
        bidirectional=bidirectional,
    )


class Encoder(nn.Module):
    """Embeddings and encoder layers over [visual tokens, text tokens]."""

    main_input_name = "input_ids"

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.attention_path = config.attention_path
        self.embeddings = PageEmbeddings(config)
        self.position_bias = _position_bias(config, bidirectional=True)
        self.layers = nn.ModuleList(EncoderLayer(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        bbox: Tensor | None = None,
        bbox_hidden: Tensor | None = None,
        pixel_values: Tensor | None = None,
        **unused: Any,
    ) -> BaseModelOutput:
        """Encoder states [B, visual tokens + S, D]; arguments as in the model's forward (`generate` passes others).

        Raises:
            ModelInputError: neither text nor picture, or shapes that do not fit together.
        """
        if input_ids is None and pixel_values is None:
            raise ModelInputError("neither input_ids nor pixel_values: give the text, the picture, or both")
        parts = []
        if pixel_values is not None:
            parts.append(self.embeddings.visual(pixel_values))
        if input_ids is not None:
            if bbox is not None and bbox.shape != (*input_ids.shape, 4):
                raise ModelInputError(f"bbox is {list(bbox.shape)}: give [batch, tokens, 4] = {[*input_ids.shape, 4]}")
            parts.append(self.embeddings.text(input_ids, bbox, bbox_hidden))
        x_bsd = self.dropout(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        path = choose_path(self.attention_path, x_bsd.device)
        visible = visible_keys(attention_mask, x_bsd.shape[1])
        bias = prepare_bias(self.position_bias(x_bsd.shape[1], x_bsd.shape[1]), x_bsd, visible, path)
        for layer in self.layers:
            x_bsd = layer(x_bsd, bias, visible, path)
        return BaseModelOutput(last_hidden_state=self.dropout(self.norm(x_bsd)))


class Decoder(nn.Module):
    """Decoder layers over the target's positions, attending to the encoder's states."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.attention_path = config.attention_path
        self.position_bias = _position_bias(config, bidirectional=False)
        depth = config.num_decoder_layers or config.num_layers
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(depth))
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self,
        embedded_btd: Tensor,
        encoded_bsd: Tensor,
        decoder_attention_mask: Tensor | None,
        encoded_visible: Tensor | None,
        cache: Any = None,
    ) -> Tensor:
        """Decoder states [B, T, D]; with a cache these T positions come after those it holds."""
        x_btd = self.dropout(embedded_btd)
        past = int(cache.get_seq_length()) if cache is not None else 0
        length = past + x_btd.shape[1]
        path = choose_path(self.attention_path, x_btd.device)
        visible = visible_keys(decoder_attention_mask, length)
        bias = prepare_bias(self.position_bias(x_btd.shape[1], length), x_btd, visible, path)
        for layer in self.layers:
            x_btd = layer(x_btd, encoded_bsd, bias, visible, encoded_visible, path, past_key_values=cache)
        out: Tensor = self.dropout(self.norm(x_btd))
        return out


def visible_keys(mask: Tensor | None, keys: int) -> Tensor | None:
    """Bool [B, keys] from a mask over the last positions (nonzero = visible); what stands before them is visible."""
    if mask is None:
        return None
    visible = mask.bool()
    return nn.functional.pad(visible, (keys - visible.shape[1], 0), value=True)
