"""Convolution with one kernel a sample, and the unsharp mask that sharpens gt."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.errors import ImageError

_USM_SIZE = 51  # the published radius of 50, made odd
# OpenCV's rule for a Gaussian of sigma 0: it follows from the size that was asked for.
_USM_SIGMA = 0.3 * ((_USM_SIZE - 1) * 0.5 - 1) + 0.8


def filter_2d(picture: Tensor, kernels: Tensor) -> Tensor:
    """Cross-correlate every channel with its sample's kernel; borders mirrored (facts f.5).

    Args:
        picture: ``[B, C, H, W]``.
        kernels: ``[B, k, k]``, or ``[1, k, k]`` for all; k odd.

    Raises:
        ImageError: when a side is not longer than half the kernel.
    """
    B, C, H, W = picture.shape
    reach = kernels.shape[-1] // 2
    if min(H, W) <= reach:
        size = kernels.shape[-1]
        raise ImageError(f"a blur of {size}x{size} needs sides above {reach} pixels, got {W}x{H}")
    bordered = F.pad(picture, (reach, reach, reach, reach), mode="reflect")
    # All channels of all samples side by side: a depthwise convolution fills the vector units.
    planes = bordered.reshape(1, B * C, H + 2 * reach, W + 2 * reach)
    each = kernels.to(picture).expand(B, -1, -1).repeat_interleave(C, dim=0)[:, None]
    return F.conv2d(planes, each, groups=B * C).view(B, C, H, W)


def sharpen(gt_01: Tensor, *, weight: float = 0.5, threshold: float = 10.0) -> Tensor:
    """The published unsharp mask of gt (facts f.5, ``use_sharp``).

    It belongs before the degradation: the sharpened picture is also the target.

    Args:
        gt_01: ``[B, C, H, W]`` in [0, 1], sides at least 26.
        weight: How much of what a wide blur loses is added.
        threshold: Only where that exceeds so many levels of 255.
    """
    lost = gt_01 - _blur_wide(gt_01)
    mask = _blur_wide((lost.abs() * 255 > threshold).to(gt_01.dtype))
    sharp = (gt_01 + weight * lost).clamp(0, 1)
    return mask * sharp + (1 - mask) * gt_01


def _blur_wide(picture: Tensor) -> Tensor:
    line = usm_kernel().to(picture).view(1, 1, 1, -1)
    B, C, H, W = picture.shape
    reach = _USM_SIZE // 2
    bordered = F.pad(picture, (reach, reach, reach, reach), mode="reflect")
    planes = bordered.reshape(B * C, 1, H + 2 * reach, W + 2 * reach)
    return F.conv2d(F.conv2d(planes, line), line.transpose(2, 3)).view(B, C, H, W)


def usm_kernel() -> Tensor:
    """The one-dimensional Gaussian of the unsharp mask, ``[51]`` float64, sum 1."""
    axis = torch.arange(_USM_SIZE, dtype=torch.float64) - _USM_SIZE // 2
    line = torch.exp(-(axis**2) / (2 * math.pow(_USM_SIGMA, 2)))
    return line / line.sum()
