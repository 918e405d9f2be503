"""PSNR on luma, as protocol `osediff` has it (facts k.2): float Y, not rounded, no border cut."""

import torch
from torch import Tensor

from hfdiff.metrics.inputs import checked_pair, luma

PEAK = 255.0


def psnr_y(sr_01: Tensor, gt_01: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of Y against the peak 255.

    10 log10(255^2 / mean((Y_sr - Y_gt)^2)), nothing added to the mean.

    Args:
        sr_01: ``[B, 3, H, W]``.
        gt_01: The same shape.

    Returns:
        ``[B]`` float64 in dB; infinite for equal pictures.

    Raises:
        ImageError: when the shapes differ or values leave [0, 1].
    """
    checked_pair(sr_01, gt_01)
    error = (luma(sr_01) - luma(gt_01)).square().mean((1, 2, 3))
    return 10 * torch.log10(PEAK**2 / error)
