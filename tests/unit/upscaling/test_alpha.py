"""Transparency: what is hidden stays hidden, edges get no rim, tiles leave no trace."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hfdiff.imaging.picture import Picture
from hfdiff.imaging.resize import Axis, resample
from hfdiff.upscaling.alpha import fill_hidden, join_alpha
from hfdiff.upscaling.cutting import ALPHA_REACH
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler

RED, GREEN = (255, 0, 0), (0, 255, 0)


def disc(soft, side=48, shown=RED, hidden=GREEN):
    """A disc of one colour whose edge is ``soft`` pixels wide, another colour where alpha is 0."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip((side / 3 - np.hypot(y, x)) / soft + 0.5, 0, 1)
    alpha = (alpha * 255).round().astype(np.uint8)[:, :, None]
    return np.concatenate((np.where(alpha > 0, shown, hidden).astype(np.uint8), alpha), 2)


def photograph(height, width, channels, seed=0):
    """Noise on a slope, uint8; its alpha is whole, none, and all between."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, (height, width, channels - 1))
    alpha = np.linspace(-400, 700, width)[None, :, None] + rng.integers(-40, 40, (height, width, 1))
    return np.concatenate((colour, alpha.clip(0, 255)), 2).astype(np.uint8)


def enlarged(upscaler, samples, **options):
    return upscaler.upscale(Picture(samples=samples), UpscaleOptions(**options)).samples


def over(rgba, ground):
    """A picture with alpha in front of a grey ground, floats."""
    alpha = rgba[..., 3:] / 255.0
    return rgba[..., :3] * alpha + ground * (1 - alpha)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_ground_put_behind_before_or_after_gives_the_same_picture(identity, ground):
    """Where alpha overshoots nowhere, for any colours; what overshoots is cut off at 0 and 1."""
    rgba = photograph(40, 60, 4)
    smooth = np.sin(np.arange(60) / 6)[None, :] * np.cos(np.arange(40) / 5)[:, None]
    rgba[..., 3] = 128 + 100 * smooth
    rgba[..., :3] = 64 + rgba[..., :3] // 4
    before = enlarged(identity, over(rgba, ground).round().astype(np.uint8))

    after = over(enlarged(identity, rgba), ground)

    assert np.abs(after - before).max() <= 2


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("soft", [0.5, 1, 3, 10])
def test_hidden_colours_do_not_leak_through_alpha(identity, soft, ground):
    """users 6.1.6: the ground put behind before or after gives the same picture, to 3 levels."""
    rgba = disc(soft)
    before = enlarged(identity, over(rgba, ground).round().astype(np.uint8))

    after = over(enlarged(identity, rgba), ground)

    assert np.abs(after - before).max() <= 3


def test_of_pixels_that_hardly_show_colours_count_no_more_than_they_show(identity):
    """An edge whose faint pixels have the colour of what was cut away."""
    rgba = disc(3)
    faint = (rgba[..., 3] > 0) & (rgba[..., 3] < 40)
    rgba[faint, :3] = GREEN
    before = enlarged(identity, over(rgba, 0).round().astype(np.uint8))

    better = enlarged(identity, rgba)

    assert faint.sum() > 20
    # No colour is brighter than white, so over black none is brighter than its alpha.
    assert np.abs(over(better, 0) - np.minimum(before, better[..., 3:])).max() <= 3


def test_where_all_shows_a_little_nothing_is_lost(identity):
    rgba = photograph(30, 40, 4)
    rgba[..., 3] = 25

    better = enlarged(identity, rgba)

    plain = enlarged(identity, rgba[..., :3].copy())
    assert (better[..., 3] == 25).all()
    assert np.abs(better[..., :3].astype(int) - plain).max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_alpha_changes_no_colour(identity, channels):
    """users 6.1.7."""
    samples = photograph(20, 30, channels)
    samples[..., -1] = 255

    better = enlarged(identity, samples)

    assert np.array_equal(better[..., :-1], enlarged(identity, samples[..., :-1].copy()))
    assert (better[..., -1] == 255).all()


def test_fully_transparent_stays_finite(identity):
    """users 6.1.7; one grey, which takes no room in a file."""
    rgba = photograph(9, 9, 4)
    rgba[..., 3] = 0

    better = enlarged(identity, rgba)

    assert better.shape == (36, 36, 4)
    assert (better == (128, 128, 128, 0)).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_at_other_scales_alpha_is_resized_once(identity, scale):
    rgba = disc(0.5)

    alpha = enlarged(identity, rgba, scale=scale)[..., 3]

    axis, once = (
        Axis(source=48, target=48 * scale),
        torch.from_numpy(rgba[None, None, ..., 3] / 255),
    )
    for dim in (-2, -1):
        once = resample(once, dim, axis, 0, axis.target)
    assert np.abs(alpha - once[0, 0].clamp(0, 1).numpy() * 255).max() <= 0.51


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(32, 64),
    channels=st.sampled_from([2, 4]),
    scale=st.sampled_from([1, 1.5, 4, 8]),
)
@settings(max_examples=30, deadline=None)
def test_tiles_give_what_the_whole_picture_gives(identity, height, width, tile, channels, scale):
    samples = photograph(height, width, channels, seed=height)

    tiled = enlarged(identity, samples, tile=tile, scale=scale)

    whole = enlarged(identity, samples, tile=0, scale=scale)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_nothing_farther_than_its_reach_counts():
    window_01 = torch.from_numpy(photograph(40, 60, 4).transpose(2, 0, 1)[None] / np.float32(255))
    window_01[:, 3, :, 20:] = window_01[:, 3, :, 20:].clamp_max(0.1)
    other = window_01.clone()
    other[..., 30:] = torch.rand_like(other[..., 30:])

    one, two = (
        join_alpha(F.interpolate(fill_hidden(w), scale_factor=4), w) for w in (window_01, other)
    )

    assert torch.equal(one[..., : 4 * (30 - ALPHA_REACH)], two[..., : 4 * (30 - ALPHA_REACH)])
    assert not torch.equal(one, two)


@pytest.mark.parametrize("soft", [1, 3, 12])
def test_the_model_in_the_box_makes_no_rim(soft):
    """A disc of one colour is one of that colour, wherever it shows."""
    shown = (200, 60, 40)
    lite = Upscaler.from_pretrained("lite", device="cpu")

    better = enlarged(lite, disc(soft, shown=shown))

    visible = better[..., 3] > 0
    assert visible.sum() > 10_000
    assert np.abs(better[visible][:, :3].astype(int) - shown).max() <= 8
