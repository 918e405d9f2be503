"""NIQE: distance of a picture's statistics from those of pristine ones (Mittal et al. 2013).

As protocol `osediff` has it: grey rounded to integers, no border cut, whole blocks of 96 pixels at
full and half size, parameters of basicsr. No gt. Float64 after the rounding.

Two things are decided by the last bit, and are therefore done in the published order, one plain
multiplication and addition after another, which gives the same bits on every device: which way a
grey value of .5 is rounded, and whether a sample of a flat place, 0 in exact arithmetic, counts as
a small positive or a small negative one. The latter moves NIQE by up to 0.02 on pictures with
saturated skies.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.errors import ImageError
from hfdiff.core.weights import read_weights
from hfdiff.metrics.inputs import checked, exact_float32, in_float64

BLOCK = 96  # pixels at full size; a scale has its blocks at the same places
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # of R, G, B in [0, 1], without offset
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # neighbours whose products are looked at
# Cubic a = -0.5 stretched to twice its width, at the distances of a 2:1 grid (MATLAB's imresize).
_HALF_TAPS = (-0.01171875, -0.03515625, 0.11328125, 0.43359375)
_BOXED = Path(__file__).parent / "data" / "niqe.safetensors"


def niqe(sr_01: Tensor) -> Tensor:
    """Naturalness of pictures; lower is better.

    Args:
        sr_01: ``[B, 3, H, W]``, sides of at least 96.

    Returns:
        ``[B]`` float64, at least 0; NaN where fewer than two blocks have any texture.

    Raises:
        ImageError: when a side is shorter than 96 or values leave [0, 1].
    """
    checked(sr_01, "sr_01")
    height, width = sr_01.shape[-2:]
    if min(height, width) < BLOCK:
        raise ImageError(f"niqe needs sides of at least {BLOCK}, got {width}x{height}")
    with exact_float32(sr_01.device):
        grey = _grey(sr_01)[..., : height // BLOCK * BLOCK, : width // BLOCK * BLOCK]
        features = torch.cat([_scale(grey, BLOCK), _scale(half(grey), BLOCK // 2)], dim=-1)
        return torch.stack([_distance(one) for one in features])


def _grey(picture_01: Tensor) -> Tensor:
    """Grey in whole steps of 0..255, weighted in float32 and rounded: ``[B, 1, H, W]`` float64."""
    red, green, blue = picture_01.float().unbind(1)
    grey = GREY_WEIGHTS[0] * red + GREY_WEIGHTS[1] * green + GREY_WEIGHTS[2] * blue
    return in_float64((grey * 255).round()).unsqueeze(1)


def half(grey: Tensor) -> Tensor:
    """Half the size by MATLAB's antialiased bicubic; ``[B, 1, H, W]``, even sides.

    Beyond the border the picture is mirrored with its edge sample repeated.
    """
    taps = grey.new_tensor([*_HALF_TAPS, *reversed(_HALF_TAPS)])
    rows = _mirrored(grey, len(taps) // 2 - 1, dim=-2)
    rows = F.conv2d(rows, taps.view(1, 1, -1, 1), stride=(2, 1))
    columns = _mirrored(rows, len(taps) // 2 - 1, dim=-1)
    return F.conv2d(columns, taps.view(1, 1, 1, -1), stride=(1, 2))


def _mirrored(grey: Tensor, margin: int, dim: int) -> Tensor:
    before = grey.narrow(dim, 0, margin).flip(dim)
    after = grey.narrow(dim, grey.shape[dim] - margin, margin).flip(dim)
    return torch.cat([before, grey, after], dim)


def _scale(grey: Tensor, block: int) -> Tensor:
    """The 18 features of every block: ``[B, blocks, 18]``."""
    normalised = _normalised(grey)
    blocks = normalised.unfold(2, block, block).unfold(3, block, block)
    blocks = blocks.flatten(1, 3)  # [B, blocks, block, block]
    shape, left, right, _ = _asymmetric_gaussian(blocks)
    features = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        neighbours = blocks * blocks.roll(shift, (2, 3))
        shape, left, right, mean = _asymmetric_gaussian(neighbours)
        features += [shape, mean, left, right]
    return torch.stack(features, dim=-1)


def _normalised(grey: Tensor) -> Tensor:
    """Local mean taken out, divided by local deviation + 1 (on the scale 0..255)."""
    mean, square = _smoothed(torch.cat([grey, grey.square()])).chunk(2)
    # Rounding makes the variance of flat places slightly negative.
    deviation = (square - mean.square()).abs().sqrt()
    return (grey - mean) / (deviation + 1)


def _smoothed(maps: Tensor) -> Tensor:
    """Gaussian means over 7x7, edge samples repeated; summed row by row of the window."""
    window = _pristine(maps.device)["window"].tolist()
    height, width = maps.shape[-2:]
    margin = len(window) // 2
    padded = F.pad(maps, (margin, margin, margin, margin), mode="replicate")
    total = torch.zeros_like(maps)
    for i, row in enumerate(window):
        for j, weight in enumerate(row):
            total += padded[..., i : i + height, j : j + width] * weight
    return total


def _asymmetric_gaussian(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian to every block by its moments.

    Args:
        blocks: ``[B, N, block, block]``.

    Returns:
        Shape, left and right width, and mean, ``[B, N]`` each; NaN where one side has no samples.
    """
    x = blocks.flatten(2)
    left = _deviation(x, x < 0)
    right = _deviation(x, x > 0)
    balance = left / right
    ratio = x.abs().mean(-1).square() / x.square().mean(-1)
    ratio = ratio * (balance**3 + 1) * (balance + 1) / (balance.square() + 1).square()
    shape = _shape_of(ratio)
    log_one, log_two, log_three = (torch.lgamma(k / shape) for k in (1, 2, 3))
    width = torch.exp((log_one - log_three) / 2)
    mean = (right - left) * width * torch.exp(log_two - log_one)
    return shape, left * width, right * width, mean


def _deviation(x: Tensor, where: Tensor) -> Tensor:
    return ((x * where).square().sum(-1) / where.sum(-1)).sqrt()


def _shape_of(ratio: Tensor) -> Tensor:
    """The shape on the published grid whose moment ratio is nearest; NaN for NaN."""
    grid, ratios = (table.to(ratio.device) for table in _shape_table())
    above = torch.searchsorted(ratios, ratio.contiguous()).clamp(1, len(grid) - 1)
    nearer_below = ratio - ratios[above - 1] <= ratios[above] - ratio
    shape = grid[above - nearer_below.long()]
    return torch.where(ratio.isnan(), ratio, shape)


@cache
def _shape_table() -> tuple[Tensor, Tensor]:
    """Shapes 0.2, 0.201 .. 10 and their ratio gamma(2/s)^2 / (gamma(1/s) gamma(3/s)), rising."""
    grid = torch.arange(200, 10_001, dtype=torch.float64) / 1000
    log_one, log_two, log_three = (torch.lgamma(k / grid) for k in (1, 2, 3))
    return grid, torch.exp(2 * log_two - log_one - log_three)


def _distance(features: Tensor) -> Tensor:
    """Distance of the blocks' Gaussian from the pristine one; ``[blocks, 36]`` to a scalar."""
    pristine = _pristine(features.device)
    complete = features[~features.isnan().any(1)]
    if len(complete) < 2:
        return features.new_full((), torch.nan)
    # Means take every number there is; the covariance takes whole blocks only (published).
    offset = features.nanmean(0) - pristine["mean"]
    covariance = (complete.T.cov() + pristine["covariance"]) / 2
    return (offset @ torch.linalg.pinv(covariance) @ offset).sqrt()


@cache
def _pristine(device: torch.device) -> dict[str, Tensor]:
    return {key: tensor.to(device) for key, tensor in read_weights(_BOXED)[0].items()}
