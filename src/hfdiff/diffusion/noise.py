"""Positional noise (spec 4.4): a standard normal that is a function of seed, channel, row, column.

Noise belongs to the picture, not to the tile: a tile reads its window of one endless field, so
results do not depend on tile order, batch size, file order or device, and overlaps agree. The
field is counter-based: Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011) on the counter (column, row, channel pair, draw) with the seed as its key, then
Box-Muller in float64, rounded once to float32.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of the latent grid of one picture; ``top`` and ``left`` may be any integer."""

    top: int
    left: int
    height: int
    width: int


def positional_noise(seed: int, window: Window, channels: int, *, draw: int = 0) -> Tensor:
    """Standard normal noise of one window of the field that belongs to ``seed``.

    Args:
        seed: Any integer; its low 64 bits are the key of the field.
        window: Which latent rows and columns.
        channels: Number of latent channels C.
        draw: Which draw of a sampler with several steps; 0 is the start x_T.

    Returns:
        float32 ``[1, C, height, width]`` on the CPU.
    """
    rows = _words(window.top, window.height)[None, :, None]
    columns = _words(window.left, window.width)[None, None, :]
    pairs = _words(0, (channels + 1) // 2)[:, None, None]
    shape = (pairs.size, window.height, window.width)
    counter = [np.broadcast_to(part, shape) for part in (columns, rows, pairs)]
    counter.append(np.broadcast_to(np.uint64(draw & 0xFFFFFFFF), shape))
    first, second = _box_muller(*_philox(counter, seed))
    field = np.stack((first, second), axis=1).reshape(-1, window.height, window.width)[:channels]
    return torch.from_numpy(field.astype(np.float32))[None]


def _words(start: int, count: int) -> NDArray[np.uint64]:
    # Two's complement: row -1 is a valid counter, so padding above a picture has its own noise.
    return np.arange(start, start + count, dtype=np.int64).view(np.uint64) & _LOW


def _philox(counter: list[NDArray[np.uint64]], seed: int) -> list[NDArray[np.uint64]]:
    """Ten Philox rounds; words are 32-bit values held in uint64 so that products are exact."""
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    c0, c1, c2, c3 = counter
    for _ in range(_ROUNDS):
        product_0, product_1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product_1 >> _WORD) ^ c1 ^ np.uint64(key[0]),
            product_1 & _LOW,
            (product_0 >> _WORD) ^ c3 ^ np.uint64(key[1]),
            product_0 & _LOW,
        )
        key = [(word + weyl) & 0xFFFFFFFF for word, weyl in zip(key, _WEYL, strict=True)]
    return [c0, c1, c2, c3]


def _box_muller(
    w0: NDArray[np.uint64], w1: NDArray[np.uint64], w2: NDArray[np.uint64], w3: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two independent normals from four 32-bit words, 53 bits for each uniform."""
    radius = np.sqrt(-2.0 * np.log(_uniform(w0, w1)))
    angle = (2.0 * np.pi) * _uniform(w2, w3)
    return radius * np.cos(angle), radius * np.sin(angle)


def _uniform(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.float64]:
    # In (0, 1]: the half step keeps the logarithm finite.
    bits = (high << np.uint64(21)) | (low >> np.uint64(11))
    return (bits.astype(np.float64) + 0.5) * 2.0**-53
