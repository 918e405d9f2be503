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
    if mode == "bicubic_antialias":
        height, width = (int(side * factor) for side in picture.shape[-2:])
        return resize_to(picture, height, width, mode)
    corners = None if mode == "area" else False
    return F.interpolate(picture, scale_factor=factor, mode=mode, align_corners=corners)


def resize_to(picture: Tensor, height: int, width: int, mode: ResizeMode) -> Tensor:
    """``[B, C, H, W]`` to an exact size; the ratio of the sizes maps the coordinates.

    ``bilinear`` and ``bicubic`` do not antialias, whatever the ratio; ``bicubic_antialias`` does,
    as a camera's own shrinking would.
    """
    if picture.shape[-2:] == (height, width):
        return picture
    if mode == "area":
        return F.interpolate(picture, size=(height, width), mode=mode)
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


def _overlaps(source: int, target: int) -> Tensor:
    """``[target, source]`` float64: share of each source pixel in each target pixel's mean."""
    step = source / target
    left = np.arange(target)[:, None] * step
    pixel = np.arange(source)[None, :]
    overlap = np.minimum(left + step, pixel + 1) - np.maximum(left, pixel)
    return torch.from_numpy(np.clip(overlap, 0, 1) / step)
