"""Four small pictures drawn by formulas, and worse versions of them, for measuring."""

import zlib

import numpy as np
import torch
from torch import Tensor

HEIGHT, WIDTH = 200, 296
SCENES = ("waves", "bricks", "rings", "slope")


def gt_of(scene: str) -> Tensor:
    """A scene as 8-bit values in [0, 1]: ``[1, 3, 200, 296]``, with fine grain on it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    match scene:
        case "waves":
            plane = 128 + 60 * np.sin(x / 3) * np.cos(y / 7) + 40 * np.sin((x + 2 * y) / 31)
        case "bricks":
            mortar = (y % 24 < 3) | ((x + 20 * (y // 24 % 2)) % 40 < 3)
            plane = np.where(mortar, 200.0, 90 + 30 * np.sin(x * y / 900))
        case "rings":
            plane = 128 + 90 * np.cos(np.hypot(x - 150, y - 90) ** 2 / 300)
        case _:
            plane = (x + y) / 2 + 20 * (x > 2 * y)
    colours = np.stack([plane, 0.8 * plane + 30, 255 - plane])
    return _as_8_bit(colours + 4 * _grain(scene))


def sr_of(scene: str) -> Tensor:
    """The scene blurred, with other grain: a plausible sr, as 8-bit values in [0, 1]."""
    return worse(gt_of(scene), 1, _grain(scene + " sr"))


def worse(picture_01: Tensor, times: int, grain: np.ndarray | float = 0.0) -> Tensor:
    """Blurred by [1, 2, 1] / 4 in both directions that many times, plus 3 grey levels of grain."""
    plane = picture_01[0].double().numpy() * 255
    for _ in range(times):
        for axis in (1, 2):
            padded = np.pad(plane, [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge")
            before, after = np.delete(padded, [-2, -1], axis), np.delete(padded, [0, 1], axis)
            plane = (before + 2 * plane + after) / 4
    return _as_8_bit(plane + 3 * grain)


def _grain(name: str) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal((3, HEIGHT, WIDTH))


def _as_8_bit(plane: np.ndarray) -> Tensor:
    levels = np.clip(np.round(plane), 0, 255).astype(np.float32)
    return torch.from_numpy(levels / np.float32(255))[None]
