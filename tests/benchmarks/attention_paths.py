"""One layer's attention with a learned bias, forward and backward, by path and length: the table of `model.py`.

Each column is one way to treat the bias and the padding:

    reference         plain products, the mask over the scores
    sample            sample by sample, as CPUs train
    sample packed     the same over a packed row
    sdpa              one bias for the whole batch; hidden keys are in the products
    sdpa dense        a bias of [B, H, S, S], what adding the padding mask to it makes (transformers' way)
    flex              FlexAttention, gradient of the bias in the kernel; blocks of padding are left out
    flex frozen       the same with a bias that is not trained
    flex packed       the same over a packed row
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.attention import attention, prepare_bias
from model.config import DocFormerV2Config
from model.masking import MASKED
from model.packing import Packed, Packing

CPU_COLUMNS = ("reference", "sample", "sample packed", "sdpa", "sdpa dense")
CUDA_COLUMNS = ("reference", "sdpa", "sdpa dense", "flex", "flex frozen", "flex packed")


@dataclass
class Case:
    """Inputs of one row of the table: [B, H, S, C] thrice, bias [1, H, S, S] and the samples' lengths."""

    inputs: list[Tensor]
    bias: Tensor
    lengths: list[int]

    @classmethod
    def make(
        cls,
        config: DocFormerV2Config,
        batch: int,
        length: int,
        padding: float,
        device: torch.device,
        dtype: torch.dtype,
    ) -> "Case":
        """Noise; a share `padding` of all positions, from none to twice that in a sample, is padding."""
        shape = (batch, config.num_heads, length, config.d_kv)
        inputs = [torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
        bias = torch.randn(1, config.num_heads, length, length, device=device, requires_grad=True)
        lengths = torch.linspace(length * (1 - 2 * padding), length, batch).long().clamp(min=1).tolist()
        return cls(inputs, bias, lengths)

    @property
    def visible(self) -> Tensor | None:
        """Bool [B, S], or None where nothing is padded."""
        length, device = self.bias.shape[-1], self.bias.device
        if min(self.lengths) == length:
            return None
        return torch.arange(length, device=device)[None] < torch.tensor(self.lengths, device=device)[:, None]

    def packed(self, round_to: int) -> tuple[list[Tensor], Packed]:
        """The same inputs as rows [1, H, N, C] without padding, and what their positions may see."""
        packing = Packing(tuple(self.lengths), self.bias.shape[-1], self.bias.device, round_to)
        with torch.no_grad():
            rows = [packing.pack(x.transpose(1, 2)).transpose(1, 2).contiguous() for x in self.inputs]
        return [row.requires_grad_() for row in rows], Packed(packing, packing)


def column(name: str, case: Case) -> Callable[[], Tensor]:
    """The forward pass of a column, without what a stack does once for all its layers (blocks, dense masks)."""
    visible, bias = case.visible, case.bias
    query, key, value = case.inputs
    if name == "sdpa dense":
        hidden = torch.zeros(len(case.lengths), bias.shape[-1], device=bias.device)
        if visible is not None:
            hidden = hidden.masked_fill(~visible, MASKED)

        def dense() -> Tensor:
            mask = (bias + hidden[:, None, None, :]).to(query.dtype)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)

        return dense
    path, _, way = name.partition(" ")
    seen: Tensor | Packed | None = visible
    if way == "packed":
        (query, key, value), seen = case.packed(512 if path == "flex" else 1)
    if way == "frozen":
        bias = bias.detach()
    prepared = prepare_bias(bias, query, seen, path) if path == "flex" else bias
    return lambda: attention(query, key, value, prepared, seen, path)


def milliseconds(forward: Callable[[], Tensor], warm_up: int, rounds: int) -> float:
    """The quickest of `rounds` forward and backward passes after `warm_up` others."""
    seconds = []
    for _ in range(warm_up + rounds):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        forward().sum().backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds[warm_up:])


def attention_table(
    preset: str,
    batch: int,
    lengths: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
    warm_up: int,
    rounds: int,
) -> list[dict[str, float | None]]:
    """Print and return the table; a column that fails on this device is None."""
    config, rows = DocFormerV2Config.preset(preset), []
    columns = CUDA_COLUMNS if device.type == "cuda" else CPU_COLUMNS
    print(f"\nattention of {preset}, batch {batch}, {dtype}: ms forward and backward, best of {rounds}")
    print(f"{'length':>7s} {'padding':>8s} " + " ".join(f"{name:>14s}" for name in columns))
    for length in lengths:
        for padding in (0.0, 0.25):
            case = Case.make(config, batch, length, padding, device, dtype)
            row: dict[str, float | None] = {"length": length, "padding": padding}
            for name in columns:
                try:
                    row[name] = milliseconds(column(name, case), warm_up, rounds)
                except Exception as error:  # a kernel that this device lacks leaves the others
                    print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
                    row[name] = None
            rows.append(row)
            times = ("-" if row[name] is None else f"{row[name]:.2f}" for name in columns)
            print(f"{length:7d} {padding:8.0%} " + " ".join(f"{time:>14s}" for time in times))
    return rows
