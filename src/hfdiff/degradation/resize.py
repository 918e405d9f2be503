"""Interpolations of the degradation, aliasing included (facts f.2), and OpenCV's area shrinking."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.degradation.config import ResizeMode


def resize_by(picture: Tensor, factor: float, mode: ResizeMode) -> Tensor:
    """``[B, C, H, W]`` to sides of floor(side * factor); the given factor maps the coordinates."""
    if factor == 1:
        return picture  # every mode is the identity then
    height, width = (int(side * factor) for side in picture.shape[-2:])
    if mode == "bilinear":
        return _bilinear(picture, height, width, (1 / factor, 1 / factor))
    if mode == "bicubic":
        return F.interpolate(picture, scale_factor=factor, mode=mode, align_corners=False)
    return resize_to(picture, height, width, mode)


def resize_to(picture: Tensor, height: int, width: int, mode: ResizeMode) -> Tensor:
    """``[B, C, H, W]`` to an exact size; the ratio of the sizes maps the coordinates.

    ``bilinear`` and ``bicubic`` do not antialias, whatever the ratio; ``bicubic_antialias`` does,
    as a camera's own shrinking would.
    """
    H, W = picture.shape[-2:]
    if (height, width) == (H, W):
        return picture
    if mode == "area":
        return F.interpolate(picture, size=(height, width), mode=mode)
    if mode == "bilinear":
        return _bilinear(picture, height, width, (H / height, W / width))
    name = mode.removesuffix("_antialias")
    return F.interpolate(
        picture, size=(height, width), mode=name, align_corners=False, antialias=name != mode
    )


def shrink_area(picture: Tensor, height: int, width: int) -> Tensor:
    """Shrink ``[C, H, W]`` by exact area averages: what OpenCV calls INTER_AREA.

    Unlike the ``area`` of ``resize_to`` a source pixel on a border of two target pixels counts in
    both by its overlap.
    """
    rows = _overlaps(picture.shape[-2], height).to(picture)
    columns = _overlaps(picture.shape[-1], width).to(picture)
    return rows @ picture @ columns.T


def _bilinear(picture: Tensor, height: int, width: int, steps: tuple[float, float]) -> Tensor:
    """Bilinear interpolation; ``steps`` are source pixels per target pixel, down and across.

    Not torch's own: its kernel, and so the last bit, changes with the number of threads, a rounding
    further on makes that visible, and a replay must give the same bytes.
    """
    return _between(_between(picture, -1, width, steps[1]), -2, height, steps[0])


def _between(picture: Tensor, dim: int, target: int, step: float) -> Tensor:
    source = picture.shape[dim]
    # Rounded to float32 where torch rounds: its coordinates are the published ones.
    centre = np.float64(np.float32(step)) * (np.arange(target) + 0.5) - 0.5
    place = np.maximum(centre, 0).astype(np.float32)
    left = np.minimum(place.astype(np.int64), source - 1)
    share = torch.from_numpy(place - left.astype(np.float32)).to(picture)
    share = share.view([-1 if axis == dim % picture.ndim else 1 for axis in range(picture.ndim)])
    first, second = (
        picture.index_select(dim, torch.from_numpy(index).to(picture.device))
        for index in (left, np.minimum(left + 1, source - 1))
    )
    return first * (1 - share) + second * share


def _overlaps(source: int, target: int) -> Tensor:
    """``[target, source]`` float64: share of each source pixel in each target pixel's mean."""
    step = source / target
    left = np.arange(target)[:, None] * step
    pixel = np.arange(source)[None, :]
    overlap = np.minimum(left + step, pixel + 1) - np.maximum(left, pixel)
    return torch.from_numpy(np.clip(overlap, 0, 1) / step)
