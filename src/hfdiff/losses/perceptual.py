"""Perceptual losses: VGG features and LPIPS (rows of the paper's Table 4; conventions facts j.3).

The networks are frozen and come from `hfdiff.nn.pretrained`; pictures are in [-1, 1]. The gradient
reaches the sr only. Float32 throughout, whatever autocast says.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.nn.features import Lpips, Trunk, imagenet_normalised

VGG_STAGES = 2  # relu2_2, the layer of Johnson et al. (arXiv 1603.08155) for super-resolution


def vgg(trunk: Trunk, sr_pm1: Tensor, gt_pm1: Tensor) -> Tensor:
    """Mean squared difference of the features of the trunk's last stage.

    Args:
        trunk: ``load_trunk(VGG16, stages=VGG_STAGES)``; more stages look deeper.
        sr_pm1: ``[B, 3, H, W]``.
        gt_pm1: The same shape.

    Returns:
        A scalar, at least 0.
    """
    with torch.autocast(sr_pm1.device.type, enabled=False):
        with torch.no_grad():
            wanted = trunk(imagenet_normalised((gt_pm1 + 1) / 2))[-1]
        return F.mse_loss(trunk(imagenet_normalised((sr_pm1 + 1) / 2))[-1], wanted)


def lpips(network: Lpips, sr_pm1: Tensor, gt_pm1: Tensor) -> Tensor:
    """LPIPS, mean over the batch.

    Args:
        network: ``load_lpips(VGG16)``; with ``stages=4`` the small last stage is left out, which
            saves time and is no longer LPIPS proper.
        sr_pm1: ``[B, 3, H, W]``; sides of at least 16 for all stages of VGG16.
        gt_pm1: The same shape.

    Returns:
        A scalar, at least 0.
    """
    return network(sr_pm1, gt_pm1).mean()
