"""Properties of the single steps: filters, resizes, noise, JPEG."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from hfdiff.core.errors import ImageError
from hfdiff.degradation.filters import filter_2d, sharpen
from hfdiff.degradation.jpeg import (
    ANNEX_K_LUMINANCE,
    TRANSPOSED_LUMINANCE,
    cubic_round,
    dequantised,
    jpeg,
    quantised,
)
from hfdiff.degradation.noise import add_gaussian, add_poisson, draw_normal, draw_poisson
from hfdiff.degradation.noise import photon_picture as photons
from hfdiff.degradation.resize import resize_by, resize_to, shrink_area

MODES = ("area", "bilinear", "bicubic", "bicubic_antialias")


@pytest.fixture
def picture_01():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 10, generator=generator)
    return resize_to(coarse, 64, 80, "bicubic").clamp(0, 1)


# Filters


def test_a_unit_pulse_changes_nothing(picture_01):
    pulse = torch.zeros(1, 5, 5)
    pulse[0, 2, 2] = 1

    torch.testing.assert_close(filter_2d(picture_01, pulse), picture_01, atol=1e-7, rtol=0)


def test_each_sample_has_its_own_kernel(picture_01):
    kernels = torch.stack([torch.ones(3, 3) / 9, torch.zeros(3, 3)])

    filtered = filter_2d(picture_01, kernels)

    assert filtered[0].mean() > 0.1
    assert filtered[1].abs().max() == 0


def test_a_picture_smaller_than_half_the_kernel_is_refused():
    with pytest.raises(ImageError, match="a blur of 21x21 needs sides above 10 pixels, got 10x30"):
        filter_2d(torch.zeros(1, 3, 30, 10), torch.zeros(1, 21, 21))


def test_sharpening_leaves_flat_parts_alone_and_steepens_edges():
    step = torch.full((1, 3, 64, 64), 0.3)
    step[..., 32:] = 0.7

    sharp = sharpen(step)

    assert sharp[..., 32].mean() > 0.7
    assert sharp[..., 31].mean() < 0.3
    assert torch.equal(sharpen(torch.full((1, 3, 64, 64), 0.5)), torch.full((1, 3, 64, 64), 0.5))


# Resizing


@pytest.mark.parametrize("mode", MODES)
def test_factor_one_is_the_identity(mode, picture_01):
    assert torch.equal(resize_by(picture_01, 1.0, mode), picture_01)
    assert torch.equal(resize_to(picture_01, 64, 80, mode), picture_01)


@pytest.mark.parametrize("mode", MODES)
def test_sides_are_cut_down_to_whole_pixels(mode, picture_01):
    assert resize_by(picture_01, 0.37, mode).shape[-2:] == (23, 29)
    assert resize_by(picture_01, 1.31, mode).shape[-2:] == (83, 104)


@pytest.mark.parametrize("factor", [0.15, 0.37, 0.9173, 1.31])
def test_bilinear_is_torchs_to_the_last_bits_for_factors_and_sizes(factor):
    noise = torch.rand(1, 3, 200, 300, generator=torch.Generator().manual_seed(0))
    height, width = int(200 * factor), int(300 * factor)

    by_factor = F.interpolate(noise, scale_factor=factor, mode="bilinear", align_corners=False)
    to_size = F.interpolate(noise, size=(height, width), mode="bilinear", align_corners=False)

    exact = {"atol": 5e-7, "rtol": 0}
    torch.testing.assert_close(resize_by(noise, factor, "bilinear"), by_factor, **exact)
    torch.testing.assert_close(resize_to(noise, height, width, "bilinear"), to_size, **exact)


def test_antialiasing_removes_what_the_small_picture_cannot_hold():
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1

    aliased = resize_to(stripes, 24, 24, "bicubic")
    smooth = resize_to(stripes, 24, 24, "bicubic_antialias")

    assert smooth.std() < 0.1 < aliased.std()


def test_area_shrinking_keeps_the_mean_for_any_ratio(picture_01):
    small = shrink_area(picture_01[0], 17, 23)

    torch.testing.assert_close(small.mean(), picture_01[0].mean(), atol=1e-5, rtol=0)
    whole = shrink_area(picture_01[0], 32, 40)
    torch.testing.assert_close(whole, resize_to(picture_01, 32, 40, "area")[0])


# Noise


def test_the_same_seed_gives_the_same_draws_in_any_company(picture_01):
    pair = draw_normal([5, 6], 3, picture_01)
    alone = draw_normal([6], 3, picture_01)
    counts = draw_poisson([5, 6], picture_01 * 99)

    assert torch.equal(pair[1:], alone)
    assert not torch.equal(pair[0], pair[1])
    assert torch.equal(counts[1:], draw_poisson([6], picture_01[1:] * 99))


def test_gaussian_noise_has_its_sigma_in_levels_of_255():
    grey = torch.full((1, 3, 100, 100), 0.5)

    noisy = add_gaussian(grey, draw_normal([1], 3, grey), torch.tensor([10.0]))

    assert (noisy - grey).std().item() * 255 == pytest.approx(10, rel=0.02)


def test_grey_noise_is_equal_in_all_channels():
    flat = torch.full((1, 3, 8, 8), 0.5)

    noisy = add_gaussian(flat, draw_normal([1], 1, flat), torch.tensor([10.0]))

    assert torch.equal(noisy[:, 0], noisy[:, 2])
    assert noisy.std() > 0


def test_poisson_noise_grows_with_the_root_of_brightness():
    ramp = torch.linspace(0, 1, 256).expand(1, 3, 400, 256)
    rounded, white = photons(ramp, grey=False)
    counts = draw_poisson([3], rounded * white)

    noisy = add_poisson(ramp, rounded, white, counts, torch.tensor([0.5]))

    assert white.item() == 256
    spread = (noisy - ramp).std((0, 1, 2))
    expected = 0.5 * (ramp[0, 0, 0] / 256).sqrt()
    torch.testing.assert_close(spread[1:200], expected[1:200], atol=2e-3, rtol=0.1)


def test_a_picture_of_one_value_counts_to_one():
    _, white = photons(torch.full((1, 3, 8, 8), 0.25), grey=False)

    assert white.item() == 1


# JPEG


def test_high_quality_changes_little_and_low_quality_more(picture_01):
    errors = [
        (jpeg(picture_01, torch.full((2,), quality)) - picture_01).abs().mean().item()
        for quality in (100.0, 90.0, 60.0, 20.0)
    ]

    assert errors == sorted(errors)


def test_a_grey_picture_passes_the_highest_quality_nearly_unchanged(picture_01):
    """Only chroma is halved in size, and a grey picture has none."""
    grey = picture_01.mean(1, keepdim=True).expand(-1, 3, -1, -1)

    decoded = jpeg(grey, torch.full((2,), 100.0))

    # the least factor leaves steps of up to 0.012 levels
    torch.testing.assert_close(decoded, grey, atol=0.02 / 255, rtol=0)


def test_decoding_what_was_encoded_gives_the_whole_function(picture_01):
    quality = torch.tensor([40.0, 70.0])

    twice = dequantised(quantised(picture_01, quality), quality, 80)

    torch.testing.assert_close(twice, jpeg(picture_01, quality), atol=1e-6, rtol=0)


def test_annex_k_tables_are_nearer_to_a_real_jpeg_than_the_published_transposed_one():
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(1, 3, 96, 96, generator=generator)
    kernel = torch.zeros(1, 7, 7)
    kernel[0, 3] = 1 / 7  # structure that differs along the two axes
    picture_01 = filter_2d(noise, kernel)
    levels = (picture_01 * 255).round()
    stream = io.BytesIO()
    samples = levels[0].permute(1, 2, 0).numpy().astype(np.uint8)
    Image.fromarray(samples).save(stream, "JPEG", quality=50, subsampling=2)
    real = torch.from_numpy(np.asarray(Image.open(stream)).copy()).permute(2, 0, 1)[None] / 255

    quality = torch.tensor([50.0])
    exact = jpeg(levels / 255, quality, luminance=ANNEX_K_LUMINANCE)
    published = jpeg(levels / 255, quality, luminance=TRANSPOSED_LUMINANCE)

    assert (exact - real).abs().mean() < 0.8 * (published - real).abs().mean()


def test_cubic_rounding_lets_gradients_through():
    picture_01 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    picture_01.requires_grad_()

    jpeg(picture_01, torch.tensor([50.0]), rounding=cubic_round).sum().backward()

    assert picture_01.grad is not None
    assert picture_01.grad.abs().max() > 0
