"""Cubic resampling of any window of a picture, equal to the last bit whatever window is asked for.

Half-pixel centres: sample i of the target lies at (i + 0.5) / ratio - 0.5 of the source. Each
target sample is a weighted sum over a fixed number of source samples, added in a fixed order, one
tap after another; so a window of the result does not depend on how large the window is, which is
what makes tiled output equal untiled output. Beyond the border the edge sample repeats.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PUBLISHED_CUBIC = -0.75  # the kernel of ResShift's x4 enlargement (facts b)
SHARP_CUBIC = -0.5  # Catmull-Rom: antialiased BICUBIC of Pillow, away from the border


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a resampling.

    Attributes:
        source: Length of the whole picture before, in samples.
        target: Length of the whole picture after.
        sharpness: The cubic's parameter a.
    """

    source: int
    target: int
    sharpness: float = SHARP_CUBIC

    @property
    def ratio(self) -> float:
        """Target samples per source sample."""
        return self.target / self.source

    @property
    def support(self) -> float:
        """Half width of the kernel in source samples; wider when shrinking (antialias)."""
        return 2.0 * max(1.0, 1.0 / self.ratio)


def enlarge_cubic(picture: Tensor, factor: int) -> Tensor:
    """Enlarge ``[B, C, H, W]`` by a whole factor with the published cubic (facts b).

    Not antialiased, not clamped: values may leave the input's range. Equal to torch's bicubic
    interpolation (align_corners off) up to float rounding.
    """
    height, width = picture.shape[-2:]
    rows = Axis(source=height, target=height * factor, sharpness=PUBLISHED_CUBIC)
    columns = Axis(source=width, target=width * factor, sharpness=PUBLISHED_CUBIC)
    wide = resample(picture, -1, columns, 0, columns.target)
    return resample(wide, -2, rows, 0, rows.target)


def resample(
    window: Tensor, dim: int, axis: Axis, start: int, stop: int, *, origin: int = 0
) -> Tensor:
    """Target samples ``start .. stop-1`` along one dimension of a window of a picture.

    Args:
        window: A part of the picture; along ``dim`` it starts at source sample ``origin`` and must
            hold every source sample that the kernel touches, as far as the picture has them.
        dim: The dimension to resample: -1 columns, -2 rows.
        axis: Lengths and kernel.
        start: First target sample, in the whole target's count.
        stop: One past the last.
        origin: Source sample at which the window starts.
    """
    indices, weights = _taps(axis, start, stop)
    shape = [1] * window.ndim
    shape[dim] = stop - start
    total: Tensor | None = None
    for index, weight in zip(indices, weights, strict=True):
        place = torch.from_numpy(index - origin).to(window.device)
        part = window.index_select(dim, place)
        part *= torch.from_numpy(weight).to(window).view(shape)  # in place: no third large buffer
        total = part if total is None else total.add_(part)
    assert total is not None  # a kernel has taps
    return total


@lru_cache(maxsize=64)
def _taps(axis: Axis, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Source index and weight of every tap, one row a tap, each of length stop - start.

    Arrays, not tensors: a tensor made under inference mode would stay one in the cache.
    """
    centre = (np.arange(start, stop, dtype=np.float64) + 0.5) / axis.ratio - 0.5
    stretch = max(1.0, 1.0 / axis.ratio)
    count = 2 * int(np.ceil(axis.support))
    first = np.floor(centre).astype(np.int64) - count // 2 + 1
    index = first[:, None] + np.arange(count)
    weight = _cubic((index - centre[:, None]) / stretch, axis.sharpness)
    weight /= weight.sum(1, keepdims=True)
    index = np.clip(index, 0, axis.source - 1)
    return index.T.copy(), weight.T.copy()


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
