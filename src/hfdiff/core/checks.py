"""Checks at public doors: tensors are looked at once, inner functions trust."""

import torch
from torch import Tensor

from hfdiff.core.errors import ImageError

LARGEST_PM1 = 1.01
"""What a ground truth in [-1, 1] may reach: resampling in low precision rounds beyond 1."""


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


def expect_pair_pm1(sr_pm1: Tensor, gt_pm1: Tensor) -> None:
    """Refuse what is not an sr with its gt, both ``[B, 3, H, W]``, the gt in [-1, 1].

    Latents have three channels too and would pass silently: their size or their range gives them
    away. The sr may leave the range, as decoders do.

    Raises:
        ImageError: naming what was expected and what came.
    """
    if gt_pm1.ndim != 4 or gt_pm1.shape[1] != 3 or sr_pm1.shape != gt_pm1.shape:
        shapes = f"{list(sr_pm1.shape)} and {list(gt_pm1.shape)}"
        raise ImageError(f"sr and gt must be pictures [B, 3, H, W] of one shape, got {shapes}")
    largest = float(gt_pm1.detach().abs().amax())
    if not largest <= LARGEST_PM1:
        raise ImageError(f"gt_pm1 must lie in [-1, 1], got values up to {largest:.3g}: a latent?")
