"""What enters the encoder: T_s (text + spatial) and V_s (visual + spatial), each marked with its modality.

Coordinates are x0, y0, x1, y1 in 0..1000 of the page, origin at the top left (the corpus's boxes).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import VISUAL_TEXT_MODALITIES, DocFormerV2Config
from model.errors import ModelInputError
from model.token_table import ChainedTable, TokenEmbedding, TokenTable

VISUAL, TEXT = 0, 1
SPATIAL_TABLES = 6  # x0, y0, x1, y1, width, height


class SpatialEmbedding(nn.Module):
    """Sum of six learned rows, one from each of the tables x0, y0, x1, y1, width, height (stored one below another)."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.buckets = config.coordinate_buckets
        self.tables = nn.EmbeddingBag(SPATIAL_TABLES * self.buckets, config.d_model, mode="sum")

    def forward(self, bbox: Tensor) -> Tensor:
        """int64 [B, S, 4] to [B, S, D].

        Raises:
            ModelInputError: a coordinate outside 0..1000 (looked at on CPUs only: elsewhere it would wait for the
                device, and the coordinate is clamped).
        """
        if bbox.device.type == "cpu" and bbox.numel() and not torch.compiler.is_compiling():
            low, high = (int(edge) for edge in torch.aminmax(bbox))
            if low < 0 or high > 1000:
                raise ModelInputError(
                    f"bbox holds {low}..{high}: scale boxes to 0..1000 of the page's width and height"
                )
        x0, y0, x1, y1 = bbox.unbind(-1)
        coordinates = torch.stack([x0, y0, x1, y1, x1 - x0, y1 - y0], dim=-1).clamp(0, self.buckets - 1)
        rows = coordinates + torch.arange(SPATIAL_TABLES, device=bbox.device) * self.buckets
        summed: Tensor = self.tables(rows.flatten(0, 1)).unflatten(0, bbox.shape[:2])
        return summed


class VisualStem(nn.Module):
    """The page picture as `visual_tokens` vectors: 2x2 convolutions without overlap, then a linear layer.

    Each halving sees 2x2 cells of the one before, so a visual token sees exactly its own patch and all patches
    together see the whole page, once.
    """

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.height, self.width = config.image_height, config.image_width
        widths = [3, *(config.stem_channels or [])]
        self.halvings = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=2, stride=2) for before, after in pairwise(widths)
        )
        shrink = 2 ** len(self.halvings)
        patch = (self.height // shrink // config.visual_rows, self.width // shrink // config.visual_columns)
        self.patch = nn.Conv2d(widths[-1], config.d_model, kernel_size=patch, stride=patch)
        self.project = nn.Linear(config.d_model, config.d_model)
        self.mean, self.std = config.image_mean or [], config.image_std or []

    def forward(self, pixel_values: Tensor) -> Tensor:
        """uint8 [B, 3, height, width], RGB, to [B, rows x columns, D] in row-major order from the top left.

        Raises:
            ModelInputError: another type or size.
        """
        if pixel_values.dtype != torch.uint8 or pixel_values.shape[1:] != (3, self.height, self.width):
            raise ModelInputError(
                f"pixel_values is {pixel_values.dtype} {list(pixel_values.shape)}: "
                f"give torch.uint8 [batch, 3, {self.height}, {self.width}] (rows, then columns)"
            )
        dtype = self.patch.weight.dtype  # a linear layer may be held as something else, quantised
        # (pixel / 255 - mean) / std as one product and one sum, in place: the picture is the largest thing here.
        scale = 1 / (255 * torch.tensor(self.std, device=pixel_values.device)).view(3, 1, 1)
        shift = torch.tensor(self.mean, device=pixel_values.device).view(3, 1, 1) * 255 * scale
        x = pixel_values.to(dtype).mul_(scale.to(dtype)).sub_(shift.to(dtype))
        x = x.contiguous(memory_format=torch.channels_last)
        for halving in self.halvings:
            x = F.gelu(halving(x), approximate="tanh")
        tokens: Tensor = self.project(self.patch(x).flatten(2).transpose(1, 2))
        return tokens


class PageEmbeddings(nn.Module):
    """The encoder's input: visual tokens (where there is a picture), then text tokens."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.tokens: nn.Embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.text_spatial = SpatialEmbedding(config)
        self.hidden_box = nn.Parameter(torch.zeros(config.d_model))
        self.stem = VisualStem(config)
        self.visual_spatial = SpatialEmbedding(config)
        self.visual_position = nn.Embedding(config.visual_tokens, config.d_model)
        self.modality = nn.Embedding(VISUAL_TEXT_MODALITIES, config.d_model)
        self.rows, self.columns = config.visual_rows, config.visual_columns

    def text(
        self,
        input_ids: Tensor,
        bbox: Tensor | None,
        bbox_hidden: Tensor | None,
        table: TokenTable | ChainedTable | None = None,
    ) -> Tensor:
        """T_s [B, S, D] of tokens int64 [B, S] with boxes int64 [B, S, 4]; where `bbox_hidden` (bool [B, S]) is
        set, the learned hidden-box vector stands in place of the token's spatial sum. Without boxes all count as
        [0, 0, 0, 0]. `table` as in `embed`.
        """
        if bbox is None:
            bbox = input_ids.new_zeros(*input_ids.shape, 4)
        spatial = self.text_spatial(bbox)
        if bbox_hidden is not None:
            spatial = torch.where(bbox_hidden[..., None], self.hidden_box.to(spatial.dtype), spatial)
        text: Tensor = self.embed(input_ids, table) + spatial + self.modality.weight[TEXT]
        return text

    def embed(self, ids: Tensor, table: TokenTable | ChainedTable | None) -> Tensor:
        """[B, S, D] of tokens int64 [B, S], from `table` where the forward shares one."""
        embedded: Tensor = self.tokens(ids) if table is None else self.tokens(ids, table)
        return embedded

    def visual(self, pixel_values: Tensor) -> Tensor:
        """V_s [B, visual_tokens, D] of pictures uint8 [B, 3, height, width]."""
        patches = self.patch_boxes(pixel_values.device)
        marks = self.visual_spatial(patches[None]) + self.visual_position.weight + self.modality.weight[VISUAL]
        visual: Tensor = self.stem(pixel_values) + marks
        return visual

    def patch_boxes(self, device: torch.device) -> Tensor:
        """int64 [visual_tokens, 4]: each patch's box in 0..1000 of the page, row-major from the top left."""
        x = torch.arange(self.columns + 1, device=device) * 1000 // self.columns
        y = torch.arange(self.rows + 1, device=device) * 1000 // self.rows
        top, left = torch.meshgrid(y[:-1], x[:-1], indexing="ij")
        bottom, right = torch.meshgrid(y[1:], x[1:], indexing="ij")
        return torch.stack([left, top, right, bottom], dim=-1).flatten(0, 1)
