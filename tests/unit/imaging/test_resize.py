"""Cubic resampling: equal to torch's and Pillow's, and any window equal to the whole to the bit."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from hfdiff.imaging.resize import PUBLISHED_CUBIC, SHARP_CUBIC, Axis, enlarge_cubic, resample


def scene(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def resized(picture, height, width, sharpness=SHARP_CUBIC):
    rows = Axis(source=picture.shape[-2], target=height, sharpness=sharpness)
    columns = Axis(source=picture.shape[-1], target=width, sharpness=sharpness)
    return resample(resample(picture, -1, columns, 0, width), -2, rows, 0, height)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_the_published_enlargement_is_the_bicubic_of_torch(factor):
    """In float64, for in float32 torch rounds its positions: by 2e-6 at a factor of 3."""
    picture = scene(2, 3, 17, 23, dtype=torch.float64)

    larger = enlarge_cubic(picture, factor)

    wanted = interpolate(picture, scale_factor=factor, mode="bicubic", align_corners=False)
    torch.testing.assert_close(larger, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (3, 1)])
def test_tiny_pictures_are_enlarged_as_torch_does(height, width):
    picture = scene(1, 3, height, width)

    wanted = interpolate(picture, scale_factor=4, mode="bicubic", align_corners=False)

    torch.testing.assert_close(enlarge_cubic(picture, 4), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(50, 61), (40, 46), (19, 23), (14, 17), (7, 8)])
def test_away_from_the_border_it_is_the_antialiased_bicubic_of_torch_and_pillow(size):
    """Both leave taps beyond the border out; ours repeat the edge, as the published cubic does."""
    picture = scene(1, 1, 40, 46)
    height, width = size
    reach = [math.ceil(2 * max(1, height / 40)), math.ceil(2 * max(1, width / 46))]
    inner = (..., slice(reach[0], height - reach[0]), slice(reach[1], width - reach[1]))

    ours = resized(picture, height, width)

    theirs = interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=True)
    pillow = Image.fromarray(picture[0, 0].numpy()).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    torch.testing.assert_close(ours[inner], theirs[inner], atol=2e-6, rtol=0)
    torch.testing.assert_close(
        ours[0, 0][inner], torch.from_numpy(np.array(pillow))[inner], atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("size", [(60, 70), (13, 11)])
def test_at_the_border_it_is_the_bicubic_of_a_picture_with_repeated_edges(size):
    picture = scene(1, 1, 30, 35)
    margin = 5
    padded = torch.nn.functional.pad(
        picture, (35 * margin, 35 * margin, 30 * margin, 30 * margin), mode="replicate"
    )
    height, width = size

    ours = resized(picture, height, width)

    large = (height * (2 * margin + 1), width * (2 * margin + 1))
    theirs = interpolate(padded, size=large, mode="bicubic", align_corners=False, antialias=True)
    cut = theirs[
        ..., height * margin : height * (margin + 1), width * margin : width * (margin + 1)
    ]
    torch.testing.assert_close(ours, cut, atol=2e-6, rtol=0)


@st.composite
def windows(draw):
    source = draw(st.integers(1, 120))
    target = draw(st.integers(1, 300))
    start = draw(st.integers(0, target - 1))
    stop = draw(st.integers(start + 1, target))
    return source, target, start, stop


@given(windows(), st.sampled_from([PUBLISHED_CUBIC, SHARP_CUBIC]), st.sampled_from([-1, -2]))
@settings(max_examples=300, deadline=None)
def test_any_window_equals_the_whole_to_the_bit(window, sharpness, dim):
    """Even where only the source samples that the kernel touches are handed in."""
    source, target, start, stop = window
    axis = Axis(source=source, target=target, sharpness=sharpness)
    picture = scene(1, 2, source, source, seed=source)
    first, last = ((k + 0.5) / axis.ratio - 0.5 for k in (start, stop - 1))
    origin = max(0, math.floor(first) - math.ceil(axis.support) + 1)
    end = min(source, math.floor(last) + math.ceil(axis.support) + 1)
    needed = picture.narrow(dim, min(origin, source - 1), max(1, end - min(origin, source - 1)))

    part = resample(needed, dim, axis, start, stop, origin=min(origin, source - 1))

    whole = resample(picture, dim, axis, 0, target)
    assert torch.equal(part, whole.narrow(dim, start, stop - start))


@given(st.integers(1, 60), st.integers(1, 200), st.floats(-2.0, 3.0, width=32))
@settings(max_examples=100, deadline=None)
def test_a_flat_picture_stays_flat(source, target, level):
    axis = Axis(source=source, target=target)

    flat = resample(torch.full((1, 1, 1, source), level), -1, axis, 0, target)

    torch.testing.assert_close(flat, torch.full_like(flat, level), atol=2e-6, rtol=1e-6)


def test_the_same_length_changes_nothing():
    picture = scene(1, 3, 9, 12)

    assert torch.equal(resized(picture, 9, 12), picture)


def test_a_mirrored_picture_gives_the_mirrored_result():
    """Half-pixel centres: nothing is shifted."""
    picture = scene(1, 1, 10, 21, dtype=torch.float64)

    mirrored = resized(picture.flip(-1, -2), 33, 50).flip(-1, -2)

    torch.testing.assert_close(mirrored, resized(picture, 33, 50), atol=1e-12, rtol=0)


def test_a_ramp_stays_a_ramp_inside():
    ramp = torch.arange(40, dtype=torch.float64).view(1, 1, 1, 40)

    larger = resample(ramp, -1, Axis(source=40, target=100), 0, 100)[0, 0, 0]

    where = (torch.arange(100, dtype=torch.float64) + 0.5) * 0.4 - 0.5
    torch.testing.assert_close(larger[6:-6], where[6:-6], atol=1e-12, rtol=0)


def test_the_dtype_of_the_window_stays():
    assert enlarge_cubic(scene(1, 3, 4, 4, dtype=torch.float64), 2).dtype == torch.float64
    assert enlarge_cubic(scene(1, 3, 4, 4).to(torch.bfloat16), 2).dtype == torch.bfloat16
