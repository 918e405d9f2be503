"""Every step of the degradation against recorded outputs of the published functions."""

import json

import numpy as np
import pytest
import torch

from hfdiff.degradation.filters import filter_2d, sharpen, usm_kernel
from hfdiff.degradation.jpeg import (
    ANNEX_K_LUMINANCE,
    CHROMINANCE,
    TRANSPOSED_LUMINANCE,
    cubic_round,
    dequantised,
    jpeg,
    quantised,
)
from hfdiff.degradation.noise import add_gaussian, add_poisson, photon_picture
from hfdiff.degradation.pool import PairPool
from hfdiff.degradation.resize import resize_by, resize_to
from support import reference

pytestmark = pytest.mark.parity


class Recorded:
    def __init__(self, name):
        self._file = np.load(reference(name))

    def __getitem__(self, key):
        return torch.from_numpy(self._file[key])

    def json(self, key):
        return json.loads(bytes(self._file[key]))


def close(ours, recorded, atol):
    torch.testing.assert_close(ours, recorded, atol=atol, rtol=0)


# Filters


@pytest.mark.parametrize("name", ["shared5", "each7", "each15"])
def test_filtering_mirrors_borders_and_does_not_flip_the_kernel(name):
    recorded = Recorded("degradation_filter_usm.npz")

    ours = filter_2d(recorded["img"], recorded[f"kernel_{name}"])

    close(ours, recorded[f"out_{name}"], atol=2e-6)


def test_the_unsharp_mask_meets_both_recorded_settings():
    recorded = Recorded("degradation_filter_usm.npz")

    close(usm_kernel(), recorded["usm_kernel1d_f64"], atol=1e-12)
    close(sharpen(recorded["usm_in"]), recorded["usm_out"], atol=2e-6)
    strong = sharpen(recorded["usm_in"], weight=1.0, threshold=5.0)
    close(strong, recorded["usm_out_w1_t5"], atol=2e-6)


# Resizing


def test_every_recorded_resize_is_met_by_factor_and_by_size():
    recorded = Recorded("degradation_resize.npz")
    cases = recorded.json("info_json")

    for case in cases:
        if "size" in case:
            ours = resize_to(recorded["img"], *case["size"], case["mode"])
        else:
            ours = resize_by(recorded["img"], case["scale_factor"], case["mode"])
        close(ours, recorded[case["key"]], atol=1e-5)
    assert len(cases) == 33


# JPEG


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_jpeg_coefficients_and_pixels_are_the_recorded_ones(quality):
    recorded = Recorded("degradation_jpeg.npz")
    given = torch.tensor([float(quality)])

    ours = quantised(recorded["img"], given)

    differing = 0
    for name, levels in zip(("y", "cb", "cr"), ours, strict=True):
        away = (levels - recorded[f"coef_{name}_q{quality}"].float()).abs()
        assert away.max() <= 1
        differing += int((away > 0).sum())
    assert differing == 0  # up to 2 would be within float rounding; none is
    close(jpeg(recorded["img"], given), recorded[f"out_q{quality}"], atol=2e-6)
    close(dequantised(ours, given, 48), recorded[f"out_q{quality}"], atol=2e-6)


def test_jpeg_takes_a_quality_for_each_sample_and_leaves_it_alone():
    recorded = Recorded("degradation_jpeg.npz")
    quality = recorded["batch_quality"]

    ours = jpeg(recorded["batch_in"], quality)

    close(ours, recorded["batch_out"], atol=2e-6)
    close(quality, torch.tensor([31.5, 49.9, 50.0, 88.25]), atol=0)


def test_jpeg_fills_odd_sizes_with_black():
    recorded = Recorded("degradation_jpeg.npz")

    ours = jpeg(recorded["odd_in"], torch.tensor([60.0]))

    close(ours, recorded["odd_out_q60"], atol=2e-6)


def test_the_differentiable_rounding_is_the_published_one():
    recorded = Recorded("degradation_jpeg.npz")

    ours = jpeg(recorded["img"], torch.tensor([50.0]), rounding=cubic_round)

    close(ours, recorded["out_q50_diffround"], atol=2e-6)


def test_tables_are_those_that_the_published_code_applies():
    recorded = Recorded("degradation_jpeg.npz")

    assert torch.equal(torch.tensor(TRANSPOSED_LUMINANCE).float(), recorded["y_table_as_applied"])
    assert torch.equal(torch.tensor(CHROMINANCE).float(), recorded["c_table_as_applied"])
    assert torch.equal(torch.tensor(ANNEX_K_LUMINANCE).T, torch.tensor(TRANSPOSED_LUMINANCE))


# Noise


@pytest.mark.parametrize("case", ["color", "gray", "mixed"])
def test_gaussian_noise_meets_the_record_from_its_draws(case):
    recorded = Recorded("degradation_noise.npz")
    name = f"gauss_{case}"
    gray = recorded[f"{name}_gray"].bool()
    if case == "color":
        normal = recorded[f"{name}_draw2_randn"]
    else:
        shared = recorded[f"{name}_draw2_randn"].expand(3, 3, -1, -1)
        normal = torch.where(gray.view(-1, 1, 1, 1), shared, recorded[f"{name}_draw3_randn"])

    ours = add_gaussian(recorded["img"], normal, recorded[f"{name}_sigma"])

    close(ours, recorded[f"{name}_out"], atol=1e-6)


@pytest.mark.parametrize("case", ["color", "gray", "mixed"])
def test_poisson_noise_meets_the_record_from_its_counts(case):
    recorded = Recorded("degradation_noise.npz")
    name = f"poisson_{case}"
    white = recorded.json("info_json")["poisson_vals"]
    for index, gray in enumerate(recorded[f"{name}_gray"].bool().tolist()):
        one = slice(index, index + 1)
        colour_draw = 2 if case == "color" else 3
        counts = recorded[f"{name}_draw{2 if gray else colour_draw}_poisson"][one].float()
        picture = recorded["img"][one]

        rounded, ours_white = photon_picture(picture, grey=gray)
        ours = add_poisson(picture, rounded, ours_white, counts, recorded[f"{name}_scale"][one])

        assert ours_white.item() == white["gray" if gray else "color"][index]
        close(ours, recorded[f"{name}_out"][one], atol=1e-6)


# Pair pool


def test_the_pair_pool_repeats_the_recorded_sequence():
    recorded = Recorded("degradation_pool.npz").json("sequence_json")
    pool = PairPool(recorded["queue_size"])

    for step in recorded["steps"]:
        lq = torch.tensor(step["in_lq"], dtype=torch.float32)
        if step["randperm"] is None:
            out = pool.exchange(lq, lq + 1000, generator=torch.Generator())
        else:
            out = pool.swap(lq, lq + 1000, torch.tensor(step["randperm"]))

        assert out[0].tolist() == step["out_lq"]
        assert out[1].tolist() == step["out_gt"]
