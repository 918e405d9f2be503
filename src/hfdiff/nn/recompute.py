"""Memory against time: activations that a backward pass computes again instead of finding them."""

from collections.abc import Callable

from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)``, keeping nothing of what it computes on the way.

    Values and gradients are those of a plain call; it costs one more forward pass. Without
    gradients it is a plain call. Nothing inside may be random.
    """
    # No state of a generator to keep.
    result: Tensor = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def plain(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)``."""
    return function(*inputs)
