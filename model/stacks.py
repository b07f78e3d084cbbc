"""The two stacks: layers over positions, one position bias computed once a forward and shared by all layers."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from model.attention import choose_path, prepare_bias
from model.config import DocFormerV2Config
from model.embeddings import PageEmbeddings
from model.errors import ModelInputError
from model.inputs import check_sides, refuse_embedded
from model.layers import DecoderLayer, EncoderLayer
from model.norm import RMSNorm
from model.packing import Packed, Packing, packing_of
from model.position_bias import PositionBias
from model.token_table import ChainedTable, TokenTable

# A packed row's length on CUDA is a multiple of this: kernels are made for each length that occurs.
CUDA_PACK_TO = 512


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
        self.attention_path, self.packing = config.attention_path, config.packing
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
        table: TokenTable | ChainedTable | None = None,
        **unused: Any,
    ) -> BaseModelOutput:
        """Encoder states [B, visual tokens + S, D]; arguments as in the model's forward (`generate` passes others).

        `table` is what the model's parts read token embeddings from where they share one.

        Raises:
            ModelInputError: neither text nor picture, or shapes that do not fit together.
        """
        refuse_embedded(unused)
        if input_ids is None and pixel_values is None:
            raise ModelInputError("neither input_ids nor pixel_values: give the text, the picture, or both")
        parts = []
        if pixel_values is not None:
            parts.append(self.embeddings.visual(pixel_values))
        if input_ids is not None:
            # Dimension by dimension: a compiled step stays one for all lengths.
            if bbox is not None and (bbox.shape[:-1] != input_ids.shape or bbox.shape[-1] != 4):
                raise ModelInputError(f"bbox is {list(bbox.shape)}: give [batch, tokens, 4] = {[*input_ids.shape, 4]}")
            check_sides("bbox_hidden", bbox_hidden, *input_ids.shape)
            check_sides("pixel_values", pixel_values, input_ids.shape[0], None, None, None)
            parts.append(self.embeddings.text(input_ids, bbox, bbox_hidden, table))
        x_bsd = self.dropout(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        positions = x_bsd.shape[1]
        check_sides("attention_mask", attention_mask, x_bsd.shape[0], None)
        given = positions if attention_mask is None else attention_mask.shape[1]
        if given not in (positions, positions if input_ids is None else input_ids.shape[1]):
            raise ModelInputError(f"attention_mask has {given} positions: give the text's, or all {positions}")
        path = choose_path(self.attention_path, x_bsd.device, self.packing)
        visible: Tensor | Packed | None = visible_keys(attention_mask, positions)
        packing = None
        if isinstance(visible, Tensor) and packs(self.packing, path):
            packing = _source(x_bsd, visible)
        if packing is not None:
            x_bsd, visible = packing.pack(x_bsd), Packed(packing, packing)
        bias = prepare_bias(self.position_bias(positions, positions), x_bsd, visible, path)
        for layer in self.layers:
            x_bsd = layer(x_bsd, bias, visible, path)
        x_bsd = self.dropout(self.norm(x_bsd))
        return BaseModelOutput(last_hidden_state=x_bsd if packing is None else packing.unpack(x_bsd))


class Decoder(nn.Module):
    """Decoder layers over the target's positions, attending to the encoder's states."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.attention_path, self.packing = config.attention_path, config.packing
        self.position_bias = _position_bias(config, bidirectional=False)
        depth = config.num_decoder_layers or config.num_layers
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(depth))
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def packs(self, device: torch.device) -> bool:
        """Whether padding is left out on `device`."""
        return packs(self.packing, choose_path(self.attention_path, device, self.packing))

    def forward(
        self,
        embedded_btd: Tensor,
        encoded_bsd: Tensor,
        decoder_attention_mask: Tensor | None,
        encoded_visible: Tensor | None,
        cache: Any = None,
    ) -> Tensor:
        """Decoder states [B, T, D]; with a cache these T positions come after those it holds.

        Where sequences are packed, positions that `decoder_attention_mask` leaves out at the end are not computed: 0.
        """
        x_btd = self.dropout(embedded_btd)
        past = int(cache.get_seq_length()) if cache is not None else 0
        length = past + x_btd.shape[1]
        path = choose_path(self.attention_path, x_btd.device, self.packing)
        if cache is not None and path == "flex":
            path = "sdpa"  # its kernels are made for a length, and here each step has its own
        seen = visible_keys(decoder_attention_mask, length)
        visible: Tensor | Packed | None = seen
        source_visible: Tensor | Packed | None = encoded_visible
        rows = None
        if cache is None and packs(self.packing, path):
            rows = _target_and_source(x_btd, seen, encoded_bsd, encoded_visible)
        if rows is not None:
            target, source = rows
            x_btd, encoded_bsd = target.pack(x_btd), source.pack(encoded_bsd)
            visible, source_visible = Packed(target, target), Packed(target, source)
        bias = prepare_bias(self.position_bias(length - past, length), x_btd, visible, path)
        for layer in self.layers:
            x_btd = layer(x_btd, encoded_bsd, bias, visible, source_visible, path, past_key_values=cache)
        out: Tensor = self.dropout(self.norm(x_btd))
        return out if rows is None else rows[0].unpack(out)


def visible_keys(mask: Tensor | None, keys: int) -> Tensor | None:
    """Bool [B, keys] from a mask over the last positions (nonzero = visible); what stands before them is visible.

    Raises ModelInputError for a mask [B, more than `keys`].
    """
    if mask is None:
        return None
    if mask.shape[1] > keys:
        raise ModelInputError(f"a mask is {list(mask.shape)}: there are {keys} positions")
    visible = mask.bool()
    return nn.functional.pad(visible, (keys - visible.shape[1], 0), value=True)


def packs(packing: str, path: str) -> bool:
    """Whether stacks of setting `packing` leave padding out, on attention path `path`."""
    # A compiled step has fixed lengths.
    return not torch.compiler.is_compiling() and (packing == "always" or (packing == "auto" and path == "sample"))


def _packing(states: Tensor, real: Tensor | None) -> Packing | None:
    if real is None:
        real = states.new_ones(states.shape[:2], dtype=torch.bool)
    return packing_of(real, CUDA_PACK_TO if states.device.type == "cuda" else 1)


def _source(encoded_bsd: Tensor, visible: Tensor) -> Packing | None:
    """How the encoder's positions are packed, or None where that saves nothing or cannot be."""
    packing = _packing(encoded_bsd, visible)
    return None if packing is None or not packing.saves or 0 in packing.lengths else packing


def _target_and_source(
    x_btd: Tensor, target_visible: Tensor | None, encoded_bsd: Tensor, source_visible: Tensor | None
) -> tuple[Packing, Packing] | None:
    """How the decoder's positions and the encoder's are packed, or None where that saves nothing or cannot be."""
    target = _packing(x_btd, target_visible)
    source = _packing(encoded_bsd, source_visible)
    if target is None or source is None or not (target.saves or source.saves) or 0 in source.lengths:
        return None
    return target, source
