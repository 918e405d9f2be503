"""The high-frequency perceptual loss (HF-Diff Eq. 6; facts j.2)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.checks import expect_pair_pm1
from hfdiff.nn.extractor import Extractor

Normalize = Literal["none", "channel_std"]
Poses = Literal[1, 2]


def hf(
    extractor: Extractor,
    sr_pm1: Tensor,
    gt_pm1: Tensor,
    *,
    normalize: Normalize = "none",
    poses: Poses = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Mean of (H(gt) - H(sr))^2 over all channels, positions and pictures.

    Pictures, not latents: Algorithm 1 line 11 writes no H, Eq. 6 and the text do (spec 11). The
    gradient reaches the sr only; a frozen extractor is the caller's to give.

    Args:
        extractor: H, frozen and in evaluation mode.
        sr_pm1: ``[B, 3, H, W]`` as decoded, not clamped.
        gt_pm1: The same shape, in [-1, 1].
        normalize: ``channel_std`` divides every channel by its measured spread, so that the
            loss does not depend on the scale that H happens to have; ``none`` is Eq. 6.
        poses: 2 shows H every picture upright and transposed: one that learnt to tell degradations
            often answers to lines of one direction only. 1 is Eq. 6.
        dtype: What H's convolutions compute in; its state and the mean stay float32.

    Returns:
        A scalar, at least 0.

    Raises:
        ImageError: for anything that is not a pair of pictures, such as latents.
    """
    expect_pair_pm1(sr_pm1, gt_pm1)
    if poses == 2:
        both = [(sr_pm1, gt_pm1), (sr_pm1.mT, gt_pm1.mT)]
        each = [hf(extractor, *pair, normalize=normalize, dtype=dtype) for pair in both]
        return torch.stack(each).mean()
    device, reduced = sr_pm1.device.type, dtype != torch.float32
    with torch.autocast(device, dtype=dtype, enabled=reduced):
        with torch.no_grad():
            wanted = extractor(gt_pm1)
        given = extractor(sr_pm1)
    if normalize == "channel_std":
        std = extractor.channel_std[:, None, None]
        given, wanted = given / std, wanted / std
    return F.mse_loss(given, wanted)
