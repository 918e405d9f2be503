"""Between integer samples and float tensors; the ranges [0, 1] and [-1, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""``[H, W, C]``: integers as files have them, or floats in [0, 1] as tensors of users have them."""


def samples_to_01(samples: Samples) -> Tensor:
    """``[H, W, C]`` samples to float32 ``[1, C, H, W]`` in [0, 1]; their type is the range."""
    plane = np.ascontiguousarray(samples.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(plane / _peak(samples.dtype))[None]


def samples_from_01(block_01: Tensor, dtype: np.dtype) -> Samples:
    """``[C, H, W]`` in [0, 1] to ``[H, W, C]`` samples: clamped, integers rounded half to even."""
    # In place, as all here: blocks are large.
    levels = block_01.float().clamp(0.0, 1.0).mul_(float(_peak(dtype)))
    if np.issubdtype(dtype, np.integer):
        levels.round_()
    return levels.permute(1, 2, 0).cpu().numpy().astype(dtype)


def _peak(dtype: np.dtype) -> np.float32:
    """What is white: the largest integer, or one for floats."""
    return np.float32(np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)


def pm1_from_01(picture_01: Tensor) -> Tensor:
    """[0, 1] to [-1, 1], in the published order of operations (facts h.3)."""
    return (picture_01 - 0.5) / 0.5


def clamped_01_from_pm1(picture_pm1: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], clamped, in the published order of operations (facts h.3)."""
    return picture_pm1.clamp(-1.0, 1.0).mul_(0.5).add_(0.5).clamp_(0.0, 1.0)
