"""Checks at public doors: tensors are looked at once, inner functions trust."""

import torch
from torch import Tensor

from hfdiff.core.errors import ImageError


def expect_image(picture: Tensor, name: str, *, channels: int = 3) -> None:
    """Refuse what is not a finite float picture ``[B, channels, H, W]`` with H, W >= 1.

    Raises:
        ImageError: naming the argument, what was expected and what came.
    """
    if picture.ndim != 4 or picture.shape[1] != channels or 0 in picture.shape:
        shape = list(picture.shape)
        raise ImageError(f"{name} must have the shape [B, {channels}, H, W], got {shape}")
    if not picture.is_floating_point():
        raise ImageError(f"{name} must be a float tensor, got {picture.dtype}")
    if not bool(torch.isfinite(picture).all()):
        raise ImageError(f"{name} holds values that are not finite")
