"""What may be asked of an enlargement, and the exact size that follows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfdiff.core.errors import SettingsError
from hfdiff.upscaling.options import UpscaleOptions, parse_size, target_size


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([1, 1.5, 2, 3, 4, 8, 16]))
def test_the_size_is_the_nearest_whole_number_halves_up(width, height, scale):
    exact = Fraction(scale)

    got = target_size(width, height, UpscaleOptions(scale=scale), 4)

    half = Fraction(1, 2)
    assert got == (math.floor(width * exact + half), math.floor(height * exact + half))


def test_without_a_wish_it_is_the_model_s_own_factor():
    assert target_size(30, 20, UpscaleOptions(), 4) == (120, 80)
    assert target_size(30, 20, UpscaleOptions(), 2) == (60, 40)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((123, 99), (123, 99)),
        ((60, None), (60, 40)),
        ((None, 60), (90, 60)),
        ((31, None), (31, 21)),
        ((1, None), (1, 1)),
    ],
)
def test_an_exact_size_or_one_side_of_it(size, wanted):
    assert target_size(30, 20, UpscaleOptions(size=size), 4) == wanted


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**5))
def test_no_size_is_ever_zero(width, height, side):
    for size in ((side, None), (None, side)):
        assert min(target_size(width, height, UpscaleOptions(size=size), 4)) >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2, "size": (4, 4)}, "scale and size exclude each other, got both"),
        ({"scale": 0.5}, "scale must lie in 1..16, got 0.5"),
        ({"scale": 16.1}, "scale must lie in 1..16, got 16.1"),
        ({"scale": -4}, "scale must lie in 1..16"),
        ({"scale": math.nan}, "scale must lie in 1..16, got nan"),
        ({"scale": math.inf}, "scale must lie in 1..16, got inf"),
        ({"size": (None, None)}, "size needs a width or a height of at least 1"),
        ({"size": (0, None)}, "size needs a width or a height of at least 1"),
        ({"size": (5, 0)}, "size needs a width or a height of at least 1"),
        ({"size": (-5, 5)}, "size needs a width or a height of at least 1"),
        ({"tile": -1}, "tile must be at least 0, got -1"),
        ({"overlap": -1}, "overlap must be at least 0, got -1"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(SettingsError) as caught:
        UpscaleOptions(**options)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1920x1080", (1920, 1080)),
        ("1920X1080", (1920, 1080)),
        ("1920x", (1920, None)),
        ("x1080", (None, 1080)),
    ],
)
def test_a_size_as_people_type_it(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1920", "axb", "1x2x3", "-1x2", "1.5x2", "1920*1080", "²x2"])
def test_another_text_is_refused(text):
    with pytest.raises(SettingsError, match="size is WIDTHxHEIGHT, WIDTHx or xHEIGHT in pixels"):
        parse_size(text)


def test_x_alone_names_no_side():
    with pytest.raises(SettingsError, match="size needs a width or a height"):
        UpscaleOptions(size=parse_size("x"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scale": "4"}, "scale must be a number, got '4'"),
        ({"size": "10x10"}, "size must be (width, height) in whole pixels, got '10x10'"),
        ({"size": 4}, "size must be (width, height) in whole pixels, got 4"),
        ({"size": (4.5, 4)}, "size must be (width, height) in whole pixels, got (4.5, 4)"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"steps": "1"}, "steps must be a whole number, got '1'"),
        ({"tile": 1.5}, "tile must be a whole number, got 1.5"),
        ({"batch": [2]}, "batch must be a whole number, got [2]"),
    ],
)
def test_what_is_no_number_is_one_sentence(wrong, sentence):
    """Options come from Python too."""
    with pytest.raises(SettingsError) as caught:
        UpscaleOptions(**wrong)

    assert str(caught.value) == sentence


def test_numbers_of_numpy_are_numbers():
    UpscaleOptions(scale=np.float32(2), seed=np.int64(7), tile=np.int32(64))
