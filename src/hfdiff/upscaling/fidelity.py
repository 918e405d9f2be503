"""Hold an answer to its lq: fidelity by bands, colours by local means.

Both are local: an output pixel depends on the lq, and on the answer over it, no farther than the
function's reach (`hfdiff.upscaling.cutting`), so that tiles whose halo is wider by that give what
the whole picture gives.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import enlarge_cubic

_CELL = 7  # lq pixels a side of one mean; two of them make a triangle


def keep_fidelity(sr: Tensor, lq: Tensor, strength: float) -> Tensor:
    """Move an answer towards what its lq says.

    High bands are mixed with those of the cubic enlargement by ``strength``. Low bands, which the
    mean over one lq pixel tells, are then taken from the lq: by twice the strength, at most whole.

    Args:
        sr: ``[3, f h, f w]``, any range.
        lq: ``[3, h, w]`` in the same range.
        strength: 0 gives ``sr`` itself, 1 the cubic enlargement held to the lq.

    Raises:
        SettingsError: where the strength is outside [0, 1] or the sides do not fit.
    """
    if not 0.0 <= strength <= 1.0:
        raise SettingsError(f"fidelity is {strength}", hint="give a number from 0 to 1")
    factor = _factor(sr, lq)
    if strength == 0.0:
        return sr
    mixed = torch.lerp(sr, enlarge_cubic(lq, factor).to(sr), strength)
    missing = lq.to(sr) - F.avg_pool2d(mixed[None], factor)[0]
    return mixed + min(1.0, 2.0 * strength) * _enlarged(missing, factor)


def keep_colours(sr: Tensor, lq: Tensor) -> Tensor:
    """Give an answer the low-passed colours of its lq; its detail stays.

    Args:
        sr: ``[3, f h, f w]``, any range.
        lq: ``[3, h, w]`` in the same range.

    Raises:
        SettingsError: where the sides do not fit.
    """
    factor = _factor(sr, lq)
    missing = lq.to(sr) - F.avg_pool2d(sr[None], factor)[0]
    colours = _enlarged(local_mean(local_mean(missing)), factor)
    return colours.add_(sr)  # in place: answers are large


def local_mean(picture: Tensor) -> Tensor:
    """``[..., h, w]`` averaged over a square around every pixel, as far as it is inside."""
    return F.avg_pool2d(picture, _CELL, 1, _CELL // 2, count_include_pad=False)


def _enlarged(picture: Tensor, factor: int) -> Tensor:
    size = [side * factor for side in picture.shape[-2:]]
    return F.interpolate(picture[None], size, mode="bilinear", align_corners=False)[0]


def _factor(sr: Tensor, lq: Tensor) -> int:
    """Pixels of the answer per lq pixel."""
    factor = sr.shape[-1] // lq.shape[-1]
    if sr.shape[-2:] != (factor * lq.shape[-2], factor * lq.shape[-1]):
        raise SettingsError(
            f"an answer of {tuple(sr.shape[-2:])} does not fit an lq of {tuple(lq.shape[-2:])}",
            hint="its sides must be the same whole multiple of those of the lq",
        )
    return factor
