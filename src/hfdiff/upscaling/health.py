"""Whether a network's answer can be one: what half precision and broken devices give is not.

The limits are wide: no working model comes near them, whatever it invents.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_EXCESS = 0.5  # mean distance outside [-1, 1]
_FLAT = 0.002  # span of values that count as one: a quarter of a step of 8 bits
_STRUCTURE = 0.03  # span of an lq that is not flat: four steps
_OTHER = 0.05  # how far the colour of a flat answer may be off
_FAR = 0.5  # mean distance of local means: a quarter of the whole range
_CELL = 8  # lq pixels a side over which local means are taken


def fault_of(sr_pm1: Tensor, lq_pm1: Tensor) -> str | None:
    """What is wrong with the answer for one tile, in a few words; None where nothing is.

    Args:
        sr_pm1: ``[3, H, W]``, as the network gave it, not clamped.
        lq_pm1: ``[3, h, w]`` in [-1, 1], what it was given.
    """
    if not bool(torch.isfinite(sr_pm1).all()):
        return "not finite"
    sr = sr_pm1.float()
    excess = sr.abs().sub_(1.0).clamp_min_(0.0).mean()
    coarse_sr = _local_means(sr.clamp(-1.0, 1.0), _CELL * (sr.shape[-1] // lq_pm1.shape[-1]))
    far = (coarse_sr - _local_means(lq_pm1.float(), _CELL)).abs().mean()
    numbers = torch.stack((excess, far, _span(sr), _span(lq_pm1.float()))).tolist()
    excess_, far_, span, lq_span = numbers
    if excess_ > _EXCESS:
        return "far out of range"
    if span < _FLAT and (lq_span > _STRUCTURE or far_ > _OTHER):
        return "flat"
    return "far off in colour" if far_ > _FAR else None


def _local_means(picture: Tensor, side: int) -> Tensor:
    """``[3, H, W]`` averaged over cells; those at the lower and right border are smaller."""
    height, width = picture.shape[-2:]
    kernel = (min(side, height), min(side, width))
    return F.avg_pool2d(picture[None], kernel, ceil_mode=True)[0]


def _span(picture: Tensor) -> Tensor:
    """Largest distance of two values of one channel."""
    return (picture.amax((1, 2)) - picture.amin((1, 2))).amax()
