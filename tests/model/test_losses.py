"""The output layer and its cross-entropy in one give what the two give one after the other."""

import pytest
import torch

from model import losses
from model.losses import output_cross_entropy, summed_cross_entropy


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 100])
def test_targets_that_do_not_count_add_nothing(rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU leaves their rows out beforehand; a GPU and a compiled step do not."""
    monkeypatch.setattr(losses, "CPU_LOGITS", rows_at_a_time * 11)
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(rows, 6, generator=generator, requires_grad=True) for rows in (8, 11))
    labels = torch.tensor([3, -100, 0, 10, -100, -100, 3, 7])
    wanted, got = summed_cross_entropy(states @ weight.T, labels), output_cross_entropy(states, weight, labels)
    assert torch.allclose(got, wanted)
    theirs, ours = (torch.autograd.grad(3 * total, (states, weight)) for total in (wanted, got))
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert output_cross_entropy(states, weight, torch.full((8,), -100)) == 0
