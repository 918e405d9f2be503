"""Between samples and floats: every level comes back, halves go to even, ranges are exact."""

import numpy as np
import pytest
import torch

from hfdiff.imaging.pixels import (
    clamped_01_from_pm1,
    pm1_from_01,
    samples_from_01,
    samples_to_01,
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_comes_back(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(-1, 64, 1)

    back = samples_from_01(samples_to_01(levels)[0], np.dtype(dtype))

    assert back.dtype == dtype
    assert np.array_equal(back, levels)


def test_every_8_bit_level_comes_back_by_way_of_the_range_of_networks():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)

    there = pm1_from_01(samples_to_01(levels))

    assert there.min() == -1
    assert there.max() == 1
    assert np.array_equal(
        samples_from_01(clamped_01_from_pm1(there)[0], np.dtype(np.uint8)), levels
    )


def test_halves_are_rounded_to_the_even_level():
    """Of all 255 halves those count that float32 holds exactly after the product."""
    halves = (torch.arange(255, dtype=torch.float32) + 0.5) / 255
    exact = (halves * 255) % 1 == 0.5
    assert int(exact.sum()) > 100

    levels = samples_from_01(halves.view(1, 1, -1), np.dtype(np.uint8))[0, :, 0]

    assert (levels[exact.numpy()] % 2 == 0).all()
    assert np.array_equal(levels, np.rint((halves * 255).numpy()))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_beyond_the_range_are_clamped_not_wrapped(dtype):
    block = torch.tensor([-1e9, -0.01, 0.0, 1.0, 1.01, 1e9]).view(1, 1, -1)

    levels = samples_from_01(block, np.dtype(dtype))[0, :, 0]

    peak = np.iinfo(dtype).max
    assert levels.tolist() == [0, 0, 0, peak, peak, peak]


def test_the_type_is_the_range_never_the_values():
    """users 6.5.5: a dark 16-bit picture stays dark, an 8-bit one with maximum 1 too."""
    dark_16 = samples_to_01(np.full((2, 2, 3), 200, np.uint16))
    dark_8 = samples_to_01(np.full((2, 2, 3), 1, np.uint8))

    assert dark_16.max() == pytest.approx(200 / 65_535)
    assert dark_8.max() == pytest.approx(1 / 255)


def test_axes_and_channels_keep_their_order():
    samples = np.zeros((2, 3, 4), np.uint8)
    samples[1, 2] = (10, 20, 30, 40)

    block = samples_to_01(samples)

    assert block.shape == (1, 4, 2, 3)
    assert block.dtype == torch.float32
    assert (block[0, :, 1, 2] * 255).tolist() == pytest.approx([10, 20, 30, 40])
    assert np.array_equal(samples_from_01(block[0], np.dtype(np.uint8)), samples)


def test_windows_of_a_larger_array_are_taken_as_they_are():
    """Not contiguous, as windows of a picture are."""
    whole = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)

    part = samples_to_01(whole[2:7, 3:9])

    assert torch.equal(part, samples_to_01(whole)[..., 2:7, 3:9])


def test_the_range_of_networks_is_clamped_on_the_way_back():
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])

    assert clamped_01_from_pm1(values).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_floats_pass_as_they_are_and_are_clamped():
    samples = np.array([[[0.0, 0.12345678, 1.0]]], np.float32)

    block = samples_to_01(samples)[0]

    assert np.array_equal(samples_from_01(block, np.dtype(np.float32)), samples)
    assert samples_from_01(block * 2 - 0.5, np.dtype(np.float32)).tolist() == [[[0.0, 0.0, 1.0]]]
