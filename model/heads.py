"""The encoder's two pretraining heads, token-to-line and token-to-grid, removed for downstream tasks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import DocFormerV2Config


class TokenToLine(nn.Module):
    """How many lines apart the two tokens of a pair stand, from their encoder states side by side."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.inner = nn.Linear(2 * config.d_model, config.d_model)
        self.out = nn.Linear(config.d_model, config.line_classes)

    def forward(self, text_bsd: Tensor, line_pairs: Tensor) -> Tensor:
        """Text states [B, S, D] and positions int64 [B, P, 2] to logits [B, P, line_classes]."""
        batch, pairs, _ = line_pairs.shape
        index = line_pairs.reshape(batch, 2 * pairs, 1).expand(-1, -1, text_bsd.shape[-1])
        pair_bpd = torch.gather(text_bsd, 1, index).view(batch, pairs, -1)
        logits: Tensor = self.out(F.gelu(self.inner(pair_bpd), approximate="tanh"))
        return logits


class TokenToGrid(nn.Module):
    """Which cell of the page's grid each token stands in."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__()
        self.out = nn.Linear(config.d_model, config.grid_cells)

    def forward(self, text_bsd: Tensor) -> Tensor:
        """Text states [B, S, D] to logits [B, S, rows x columns]."""
        logits: Tensor = self.out(text_bsd)
        return logits
