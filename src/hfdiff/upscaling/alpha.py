"""Alpha: what the network sees where nothing shows, and how its answer gets alpha back.

A network that is given colour multiplied by alpha sharpens every edge against black, and that shows
as a rim. Here it sees colour as it is where it shows, and colour from near by where it does not.

Local, as `hfdiff.upscaling.fidelity`: an output pixel depends on no more of the lq than
`hfdiff.upscaling.cutting` allows for.
"""

import torch
from torch import Tensor

from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.upscaling.fidelity import local_mean

_SHOWS = 0.25  # alpha from which on a colour is seen as it is
_NEAR = 0.02  # mean alpha around a pixel that is enough to take its colour from there
_GREY = 0.5  # where nothing is near
_LEAST = 1.0 / 255  # below it alpha divides nothing, and no detail is added
_ROUNDING = 1e-6  # the weights of a kernel sum to one within this


def fill_hidden(window_01: Tensor) -> Tensor:
    """Colours with those that do not show replaced by visible ones from near by.

    Args:
        window_01: ``[B, C + 1, h, w]`` in [0, 1], colour and alpha, not multiplied.

    Returns:
        ``[B, C, h, w]``; where alpha is a quarter or more the colours themselves.
    """
    colour, alpha = window_01[:, :-1], window_01[:, -1:]
    share = local_mean(local_mean(alpha))
    near = local_mean(local_mean(colour * alpha)) / share.clamp_min(torch.finfo(share.dtype).tiny)
    grey = torch.full_like(near, _GREY)
    near = torch.lerp(grey, near.clamp(0.0, 1.0), (share / _NEAR).clamp(max=1.0))
    return torch.lerp(near, colour, (alpha / _SHOWS).clamp(max=1.0))


def join_alpha(sr_01: Tensor, window_01: Tensor) -> Tensor:
    """The answer to filled colours as a picture with alpha.

    Alpha is enlarged by the plain cubic. Colour gets what colour multiplied by alpha, enlarged by
    the same cubic, has beyond filled colour; so where a network does no more than enlarge, a
    background put behind before or after gives the same picture.

    Args:
        sr_01: ``[B, C, f h, f w]``, the answer to `fill_hidden`.
        window_01: ``[B, C + 1, h, w]``, what it was made of.

    Returns:
        ``[B, C + 1, f h, f w]``, colours not multiplied; the answer itself where alpha is one.
    """
    factor = sr_01.shape[-1] // window_01.shape[-1]
    colour, alpha = window_01[:, :-1], window_01[:, -1:]
    cubic = enlarge_cubic(torch.cat((colour * alpha, fill_hidden(window_01), alpha), 1), factor)
    multiplied, filled, raw = torch.split(cubic, [colour.shape[1], colour.shape[1], 1], 1)
    filled = filled.clamp(0.0, 1.0)  # as answers are
    # Divided by alpha, held where that vanishes; the kernel's overshoot is in both.
    missing = (multiplied - raw * filled) * raw / (raw * raw + _LEAST * _LEAST)
    missing = missing.where((raw - 1.0).abs() > _ROUNDING, 0.0)
    alpha_sr = raw.clamp_min(0.0).where(raw < 1.0 - _ROUNDING, 1.0)
    # What does not show is smooth: it need not be stored in full.
    shown = torch.lerp(filled, sr_01 + missing, (alpha_sr / _LEAST).clamp(max=1.0))
    return torch.cat((shown.clamp(0.0, 1.0), alpha_sr), 1)
