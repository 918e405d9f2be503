"""Image terms over a few pictures at a time (spec 5.2), under activation checkpointing.

What a chunk's networks compute is forgotten after the forward pass and computed again in the
backward pass, so that memory grows with the chunk and not with the batch; it costs one more forward
pass. Values and gradients are those of the whole batch, up to the order of sums.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hfdiff.nn.recompute import recomputed


def in_chunks(function: Callable[..., Tensor], tensors: Sequence[Tensor], size: int) -> Tensor:
    """``function(*tensors)`` of a function that treats samples alone.

    Args:
        function: Of tensors ``[B, ...]``, giving ``[B, ...]``.
        tensors: Its arguments.
        size: Samples of a chunk; 0: all at once, with nothing computed twice.
    """
    if _is_whole(tensors, size):
        return function(*tensors)
    return torch.cat([recomputed(function, *part) for part in _parts(tensors, size)])


def mean_in_chunks(function: Callable[..., Tensor], tensors: Sequence[Tensor], size: int) -> Tensor:
    """``function(*tensors)`` of a function that gives a mean over samples; see `in_chunks`."""
    if _is_whole(tensors, size):
        return function(*tensors)
    means = [recomputed(function, *part) * len(part[0]) for part in _parts(tensors, size)]
    return torch.stack(means).sum() / len(tensors[0])


def _is_whole(tensors: Sequence[Tensor], size: int) -> bool:
    return not 0 < size < len(tensors[0])


def _parts(tensors: Sequence[Tensor], size: int) -> Iterator[list[Tensor]]:
    for begin in range(0, len(tensors[0]), size):
        yield [tensor[begin : begin + size] for tensor in tensors]
