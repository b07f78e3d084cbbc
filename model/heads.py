"""What reads the states: the decoder's output layer, and the encoder's two heads, which downstream tasks drop."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import DocFormerV2Config
from model.losses import IGNORED, output_cross_entropy
from model.token_table import ChainedTable, TokenTable


class OutputLayer(nn.Linear):
    """Decoder states to logits over the vocabulary, or straight to the sum of their cross-entropies."""

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__(config.d_model, config.vocab_size, bias=False)

    def forward(
        self, states: Tensor, labels: Tensor | None = None, table: TokenTable | ChainedTable | None = None
    ) -> Tensor:
        """States [..., D] to logits [..., V], or with labels int64 [...] (-100 ignored) to a scalar fp32 sum.

        `table` is that of the weight where it is tied to a token embedding and the forward shares it.
        """
        if labels is None:
            return super().forward(states)
        states, labels = states.flatten(0, -2), labels.flatten()
        # Off the CPU, and in a compiled step, choosing the labelled rows would wait for the device.
        if states.device.type == "cpu" and not torch.compiler.is_compiling():
            chosen = labels != IGNORED
            states, labels = states[chosen], labels[chosen]
        if table is None:
            return output_cross_entropy(states, self.weight, labels)
        return output_cross_entropy(states, table.values, labels, table.gradient)


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
