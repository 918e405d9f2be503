"""No float array of a whole picture anywhere (spec 12, users 6.5.9)."""

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hfdiff.imaging.picture import Picture
from hfdiff.upscaling.options import UpscaleOptions


class LargestTensor(TorchDispatchMode):
    """Notes the largest float tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                self.numbers = max(self.numbers, leaf.numel())
        return result


def test_a_picture_of_4096_makes_no_float_larger_than_a_tile(identity, monkeypatch):
    side, tile, overlap = 4096, 256, 16
    picture = Picture(samples=np.zeros((side, side, 3), np.uint8))
    arrays = []
    real = np.ascontiguousarray
    monkeypatch.setattr(
        np, "ascontiguousarray", lambda *a, **k: (arrays.append((r := real(*a, **k)).size), r)[1]
    )

    with LargestTensor() as largest:
        better = identity.upscale(picture, UpscaleOptions(tile=tile, overlap=overlap))

    assert better.samples.shape == (4 * side, 4 * side, 3)
    one_tile = 3 * (4 * tile) ** 2
    one_strip_of_overlap = 3 * (4 * overlap) * (4 * side)
    assert largest.numbers <= max(one_tile, one_strip_of_overlap)
    assert max(arrays) <= 3 * tile**2


def test_a_small_picture_makes_no_float_larger_than_a_tile(identity):
    picture = Picture(samples=np.zeros((200, 200, 3), np.uint8))

    with LargestTensor() as largest:
        identity.upscale(picture, UpscaleOptions(tile=32, overlap=8))

    assert 0 < largest.numbers <= 3 * (4 * 32) ** 2
