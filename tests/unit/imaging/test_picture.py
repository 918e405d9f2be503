"""Windows of a picture: mirrored outside, as often as needed, whatever its size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfdiff.imaging.picture import Picture


def scene(height, width, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(height * 1000 + width)
    peak = np.iinfo(dtype).max
    return Picture(samples=rng.integers(0, peak + 1, (height, width, channels), dtype=dtype))


@pytest.mark.parametrize("side", range(1, 71))
def test_a_window_of_64_around_any_side_is_the_reflection_of_numpy(side):
    """users 6.5.6: sides up to 32 need more than one reflection."""
    picture = scene(side, 71 - side)
    pad = 64

    window = picture.window(range(-pad, side + pad), range(-pad, 71 - side + pad))

    wanted = np.pad(picture.samples, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    assert np.array_equal(window, wanted)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    top=st.integers(-100, 100),
    left=st.integers(-100, 100),
    rows=st.integers(1, 50),
    columns=st.integers(1, 50),
)
@settings(max_examples=200, deadline=None)
def test_every_window_is_a_part_of_the_mirrored_plane(height, width, top, left, rows, columns):
    picture = scene(height, width)
    plane = np.pad(picture.samples, ((160, 160), (160, 160), (0, 0)), mode="reflect")

    window = picture.window(range(top, top + rows), range(left, left + columns))

    assert np.array_equal(
        window, plane[160 + top : 160 + top + rows, 160 + left : 160 + left + columns]
    )


def test_a_window_inside_copies_nothing():
    picture = scene(20, 30)

    window = picture.window(range(3, 9), range(30))

    assert np.shares_memory(window, picture.samples)
    assert np.array_equal(window, picture.samples[3:9])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_and_type_stay(channels, dtype):
    picture = scene(5, 6, channels, dtype)

    window = picture.window(range(-2, 9), range(-2, 9))

    assert window.shape == (11, 11, channels)
    assert window.dtype == dtype


@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (2, True), (3, False), (4, True)])
def test_the_last_of_two_or_four_channels_is_alpha(channels, alpha):
    picture = scene(5, 6, channels)

    assert picture.has_alpha is alpha
    assert (picture.height, picture.width, picture.channels) == (5, 6, channels)
