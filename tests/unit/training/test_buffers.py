import pytest
import torch
from torch import nn

from hfdiff.training.buffers import HeldBuffers


class Remembering(nn.Module):
    """Keeps a moving mean of what it sees, as a batch norm does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(1.0))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x):
        self.mean.lerp_(x.mean(), 0.1)
        self.count += 1


def test_parts_change_statistics_as_the_whole_batch_does():
    parted, whole, batch = Remembering(), Remembering(), torch.arange(8.0)
    whole(batch)

    held = HeldBuffers([parted], [])
    for part in (batch[:2], batch[2:]):
        parted(part)
        held.take(len(part) / 8)
    held.settle(lambda change: change)

    assert parted.mean.item() == pytest.approx(whole.mean.item(), rel=1e-6)


def test_networks_that_are_not_trained_keep_theirs():
    other = Remembering()

    held = HeldBuffers([], [other])
    other(torch.full((4,), 9.0))
    held.take(1.0)
    held.settle(lambda change: change)

    assert other.mean == 1.0


def test_changes_are_averaged_over_processes():
    trained = Remembering()

    held = HeldBuffers([trained], [])
    trained(torch.full((4,), 11.0))
    held.take(1.0)
    held.settle(lambda change: change / 2)  # the other process saw nothing new

    assert trained.mean.item() == pytest.approx(1.5)
