"""JPEG as tensor arithmetic: the published DiffJPEG, and the same with JPEG's own table.

Facts f.7. Quality is a real number; the quantisation step (table times factor) is not rounded and
nothing is rounded to 8 bit, unlike in a JPEG file.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81, Annex K: rows are vertical frequencies.
ANNEX_K_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
# Published quirk: the luminance table is applied with its two frequencies exchanged.
TRANSPOSED_LUMINANCE = tuple(zip(*ANNEX_K_LUMINANCE, strict=True))
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
# A quality of 100 would quantise by zero; this step is far below one level.
_LEAST_FACTOR = 1e-4

Table: TypeAlias = tuple[tuple[int, ...], ...]
Planes: TypeAlias = tuple[Tensor, Tensor, Tensor]


def jpeg(
    picture_01: Tensor,
    quality: Tensor,
    *,
    luminance: Table = TRANSPOSED_LUMINANCE,
    rounding: Callable[[Tensor], Tensor] = torch.round,
) -> Tensor:
    """Compress ``[B, 3, H, W]`` in [0, 1] and decode it again; values stay unrounded in [0, 1].

    Args:
        picture_01: RGB; sides are filled up to multiples of 16 with black.
        quality: ``[B]``, above 0 and at most 100.
        luminance: ``TRANSPOSED_LUMINANCE`` as published, ``ANNEX_K_LUMINANCE`` as in JPEG files.
        rounding: ``torch.round``, or ``cubic_round`` where gradients shall pass.
    """
    H, W = picture_01.shape[-2:]
    filled = F.pad(picture_01, (0, -W % 16, 0, -H % 16))
    coefficients = quantised(filled, quality, luminance=luminance, rounding=rounding)
    decoded = dequantised(coefficients, quality, filled.shape[-1], luminance=luminance)
    return decoded[..., :H, :W]


def quantised(
    picture_01: Tensor,
    quality: Tensor,
    *,
    luminance: Table = TRANSPOSED_LUMINANCE,
    rounding: Callable[[Tensor], Tensor] = torch.round,
) -> Planes:
    """Quantised coefficients of Y, Cb, Cr, each ``[B, blocks, 8, 8]``, blocks row by row.

    Args:
        picture_01: ``[B, 3, H, W]``, sides multiples of 16.
        quality: ``[B]``.
        luminance: As in ``jpeg``.
        rounding: As in ``jpeg``.
    """
    matrix = picture_01.new_tensor(_YCBCR) * 255
    luma, blue, red = torch.einsum("yc,bchw->ybhw", matrix, picture_01)
    # The offset of chroma (128) and the shift of all blocks (128) cancel there.
    planes = (luma - 128, F.avg_pool2d(blue, 2), F.avg_pool2d(red, 2))
    factor = _factor(quality).view(-1, 1, 1)
    steps = _steps(luminance, picture_01)
    spectra = [_blocks(plane) @ _dct(picture_01).T for plane in planes]
    y, cb, cr = (
        rounding(spectrum / (step * factor)).reshape(*spectrum.shape[:2], 8, 8)
        for spectrum, step in zip(spectra, steps, strict=True)
    )
    return y, cb, cr


def dequantised(
    coefficients: Planes, quality: Tensor, width: int, *, luminance: Table = TRANSPOSED_LUMINANCE
) -> Tensor:
    """The picture ``[B, 3, H, W]`` in [0, 1] of coefficients from ``quantised``; W is given."""
    factor = _factor(quality).view(-1, 1, 1)
    steps = _steps(luminance, coefficients[0])
    luma, blue, red = (
        _plane((levels.flatten(-2) * (step * factor)) @ _dct(levels), width // shrunk)
        for levels, step, shrunk in zip(coefficients, steps, (1, 2, 2), strict=True)
    )
    chroma = F.interpolate(torch.stack((blue, red), 1), scale_factor=2.0, mode="nearest")
    planes = torch.cat(((luma + 128)[:, None], chroma), 1)
    matrix = luma.new_tensor(_RGB)
    return torch.einsum("cy,byhw->bchw", matrix, planes).clamp(0, 255) / 255


def cubic_round(x: Tensor) -> Tensor:
    """Rounding with a gradient: the remainder enters by its third power."""
    nearest = torch.round(x)
    return nearest + (x - nearest) ** 3


def _factor(quality: Tensor) -> Tensor:
    """Factor on the tables: 30 -> 1.667, 50 -> 1, 75 -> 0.5, 95 -> 0.1."""
    factor = torch.where(quality < 50, 50 / quality, (200 - 2 * quality) / 100)
    return factor.clamp_min(_LEAST_FACTOR)


def _steps(luminance: Table, like: Tensor) -> Planes:
    """Tables of Y, Cb, Cr, each ``[64]``."""
    y, c = like.new_tensor(luminance).flatten(), like.new_tensor(CHROMINANCE).flatten()
    return y, c, c


def _blocks(plane: Tensor) -> Tensor:
    """``[B, H, W]`` as ``[B, blocks, 64]``, blocks row by row."""
    B, H, W = plane.shape
    cut = plane.reshape(B, H // 8, 8, W // 8, 8)
    return cut.transpose(2, 3).reshape(B, -1, 64)


def _plane(blocks: Tensor, width: int) -> Tensor:
    """The inverse of ``_blocks``."""
    cut = blocks.reshape(len(blocks), -1, width // 8, 8, 8)  # [B, H/8, W/8, 8, 8]
    return cut.transpose(2, 3).reshape(len(blocks), -1, width)


def _dct(like: Tensor) -> Tensor:
    return _dct_matrix().to(like)


@cache
def _dct_matrix() -> Tensor:
    """Orthonormal two-dimensional DCT-II of 8x8 blocks as ``[64, 64]`` float64."""
    frequency = torch.arange(8, dtype=torch.float64)[:, None]
    place = torch.arange(8, dtype=torch.float64)[None, :]
    line = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line)
