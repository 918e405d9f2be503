"""Gaussian and Poisson noise of the degradation (facts f.6).

The functions that add noise take what was drawn; the draws come from the counter-based generator
of a seed, so a sample's noise does not depend on its batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.rng import numpy_rng

_GREY = (0.2989, 0.587, 0.114)


def draw_normal(seeds: Sequence[int], channels: int, like: Tensor) -> Tensor:
    """Standard normal ``[B, channels, H, W]``, one seed a sample, for pictures ``[B, C, H, W]``."""
    shape = (channels, *like.shape[-2:])
    draws = [numpy_rng(seed).standard_normal(shape, np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(draws)).to(like)


def draw_poisson(seeds: Sequence[int], expected: Tensor) -> Tensor:
    """Poisson counts around ``expected`` ``[B, C, H, W]``, one seed a sample."""
    rates = expected.cpu().numpy()
    counts = [numpy_rng(seed).poisson(rate) for seed, rate in zip(seeds, rates, strict=True)]
    return torch.from_numpy(np.stack(counts)).to(expected)


def add_gaussian(picture_01: Tensor, normal: Tensor, sigma: Tensor) -> Tensor:
    """Add ``normal * sigma / 255`` and clamp.

    Args:
        picture_01: ``[B, 3, H, W]``.
        normal: Standard normal, ``[B, 3, H, W]``, or ``[B, 1, H, W]`` for grey noise.
        sigma: ``[B]`` in levels of 255.
    """
    return (picture_01 + normal * (sigma.view(-1, 1, 1, 1) / 255)).clamp(0, 1)


def photon_picture(picture_01: Tensor, *, grey: bool) -> tuple[Tensor, Tensor]:
    """What photons are counted on: the picture in 8 bit, and how many make up white.

    White is the number of distinct levels of the sample, all channels together, rounded up to a
    power of two: flat pictures get a small one, and so strong noise. A published quirk.

    Args:
        picture_01: ``[B, 3, H, W]``.
        grey: Count on the luma alone.

    Returns:
        The rounded picture ``[B, 3 or 1, H, W]`` and white ``[B, 1, 1, 1]``; their product is the
        expected count.
    """
    if grey:
        red, green, blue = picture_01.unbind(1)
        luma = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
        picture_01 = luma[:, None]
    levels = (picture_01 * 255).round().clamp(0, 255)
    return levels / 255, _white(levels).view(-1, 1, 1, 1)


def add_poisson(
    picture_01: Tensor, rounded: Tensor, white: Tensor, counts: Tensor, scale: Tensor
) -> Tensor:
    """Add the noise of photon counting, times ``scale``, and clamp.

    Args:
        picture_01: ``[B, 3, H, W]``; the noise is added to it, not to its rounded form.
        rounded: From ``photon_picture``.
        white: From ``photon_picture``.
        counts: Poisson counts around ``rounded * white``, the shape of ``rounded``.
        scale: ``[B]``.
    """
    noise = counts / white - rounded
    return (picture_01 + noise * scale.view(-1, 1, 1, 1)).clamp(0, 1)


def _white(levels: Tensor) -> Tensor:
    B = levels.shape[0]
    index = levels.reshape(B, -1).long() + 256 * torch.arange(B, device=levels.device)[:, None]
    present = torch.bincount(index.flatten(), minlength=256 * B).view(B, 256) > 0
    return torch.exp2(torch.log2(present.sum(1).to(levels.dtype)).ceil())
