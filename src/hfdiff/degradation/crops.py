"""From a picture of any size to a gt patch: flip, square crop, area shrinking (facts f.1)."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hfdiff.core.errors import SettingsError
from hfdiff.degradation.resize import resize_to, shrink_area
from hfdiff.imaging.pixels import Samples, samples_to_01


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What part of a picture becomes gt.

    Attributes:
        flip: Exchange left and right, before all else.
        side: Side of the square, in source pixels; smaller pictures are mirrored up to it.
        top: First row of the square.
        left: First column.
    """

    flip: bool
    side: int
    top: int
    left: int


def decide_crop(
    height: int, width: int, *, gt_size: int, rng: np.random.Generator, rescale_gt: bool = True
) -> Crop:
    """Draw flip and place of a crop.

    Args:
        height: Rows of the picture.
        width: Its columns.
        gt_size: Side of the patch in pixels.
        rng: Draws.
        rescale_gt: As published: the square is as large as the picture allows and is shrunk to
            ``gt_size``. Off: a square of ``gt_size`` at the picture's own resolution.
    """
    if gt_size < 1:
        raise SettingsError(f"gt_size must be at least 1, got {gt_size}")
    side = max(min(height, width), gt_size) if rescale_gt else gt_size
    flip = bool(rng.random() < 0.5)
    top = int(rng.integers(max(height - side, 0) + 1))
    left = int(rng.integers(max(width - side, 0) + 1))
    return Crop(flip=flip, side=side, top=top, left=left)


def crop_gt(samples: Samples, crop: Crop, *, gt_size: int) -> Tensor:
    """The patch ``[3, gt_size, gt_size]`` in [0, 1], float32.

    Args:
        samples: The whole picture, ``[H, W, 3]`` uint8 or uint16.
        crop: From ``decide_crop`` for this size.
        gt_size: Side of the patch.
    """
    upright = samples[:, ::-1] if crop.flip else samples
    filled = _mirrored_up_to(upright, crop.side)
    square = filled[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    patch_01 = samples_to_01(square)[0]
    if crop.side == gt_size:
        return patch_01
    return shrink_area(patch_01, gt_size, gt_size)


def _mirrored_up_to(samples: Samples, side: int) -> Samples:
    """Mirror at the bottom and the right, edges not repeated, until no side is too short."""
    while samples.shape[0] < side or samples.shape[1] < side:
        # As published one pass adds at most the picture itself; the next mirrors the result.
        height, width = samples.shape[:2]
        rows = np.pad(np.arange(height), (0, min(height, max(side - height, 0))), mode="reflect")
        columns = np.pad(np.arange(width), (0, min(width, max(side - width, 0))), mode="reflect")
        samples = samples[rows[:, None], columns]
    return samples


def softened(gt_01: Tensor, rng: np.random.Generator) -> Tensor:
    """The middle of ``[1, 3, s, s]``, enlarged to the whole by a factor drawn from 1.2 to 1.8.

    What comes out is 8 bit, as a picture is, and as soft as a camera's own pixels.
    """
    side = gt_01.shape[-1]
    cut = max(round(side / rng.uniform(1.2, 1.8)), 1)
    first = (side - cut) // 2
    middle = gt_01[..., first : first + cut, first : first + cut]
    enlarged = resize_to(middle, side, side, "bicubic").clamp(0, 1)
    return (enlarged * 255).round() / 255
