"""SSIM on luma, as protocol `osediff` has it (facts k.2; Wang et al. 2004).

Y rounded to integers, float64, Gaussian window of 11 with sigma 1.5, whole windows only, no
shrinking, no border cut; negative contrast terms count as 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.errors import ImageError
from hfdiff.metrics.inputs import checked_pair, luma

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def ssim_y(sr_01: Tensor, gt_01: Tensor) -> Tensor:
    """Structural similarity of the rounded Y.

    Args:
        sr_01: ``[B, 3, H, W]``, sides of at least 11.
        gt_01: The same shape.

    Returns:
        ``[B]`` float64 in [-1, 1]; 1 for equal pictures.

    Raises:
        ImageError: when the shapes differ, a side is too short or values leave [0, 1].
    """
    checked_pair(sr_01, gt_01)
    height, width = sr_01.shape[-2:]
    if min(height, width) < WINDOW:
        raise ImageError(f"ssim_y needs sides of at least {WINDOW}, got {width}x{height}")
    x, y = luma(sr_01).round(), luma(gt_01).round()
    mean_x, mean_y, square_x, square_y, product = _windowed(x, y, x * x, y * y, x * y)
    variances = square_x - mean_x.square() + square_y - mean_y.square()
    covariance = product - mean_x * mean_y
    contrast = (2 * covariance + C2) / (variances + C2)
    brightness = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return (brightness * contrast.clamp(min=0)).mean((1, 2, 3))


def _windowed(*maps: Tensor) -> tuple[Tensor, ...]:
    """Gaussian means of maps ``[B, 1, H, W]``: ``[B, 1, H - 10, W - 10]`` each."""
    stacked = torch.cat(maps)
    offset = torch.arange(WINDOW, dtype=torch.float64, device=stacked.device) - WINDOW // 2
    kernel = torch.exp(-offset.square() / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    rows = F.conv2d(stacked, kernel.view(1, 1, WINDOW, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, WINDOW)).chunk(len(maps))
