"""Running statistics of networks, while a phase's gradients are gathered over parts of a batch."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class HeldBuffers:
    """Makes the floating-point buffers of networks follow the batch and not its parts.

    Every part starts from the same values, the changes are averaged by the parts' shares (and over
    processes), and buffers of networks that the phase does not train stay as they were.

    Args:
        trained: Networks of the phase.
        others: All others.
    """

    def __init__(self, trained: Iterable[nn.Module], others: Iterable[nn.Module]) -> None:
        self._trained = _buffers(trained)
        self._others = _buffers(others)
        self._before = [buffer.clone() for buffer in self._trained]
        self._others_before = [buffer.clone() for buffer in self._others]
        self._changes = [torch.zeros_like(buffer) for buffer in self._trained]

    def take(self, share: float) -> None:
        """After a part of ``share`` of the batch: note what it changed, and take that back."""
        for buffer, before, change in zip(self._trained, self._before, self._changes, strict=True):
            change += share * (buffer - before)
        _copy(self._before, self._trained)
        _copy(self._others_before, self._others)

    def settle(self, average: Callable[[Tensor], Tensor]) -> None:
        """After the last part: change the buffers by the average over parts and processes."""
        for buffer, change in zip(self._trained, self._changes, strict=True):
            buffer += average(change)


def _buffers(networks: Iterable[nn.Module]) -> list[Tensor]:
    found = (buffer for network in networks for buffer in network.buffers())
    return [buffer for buffer in found if buffer.is_floating_point()]


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
