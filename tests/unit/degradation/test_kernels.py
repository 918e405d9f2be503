"""Properties of blur kernels."""

import math
from fractions import Fraction
from math import factorial

import numpy as np
import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.degradation.kernels import (
    GaussianKernel,
    GivenKernel,
    SincKernel,
    UnsharpKernel,
    bessel_j1,
    padded,
    weights,
)

SHAPES = (
    "iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso",
)  # fmt: skip


def bell(shape, **parameters):
    known = {"sigma_x": 1.5, "sigma_y": 0.7, "rotation": 0.4, "beta": 1.3}
    return GaussianKernel(shape=shape, size=11, **{**known, **parameters})


def power_series(x):
    """J1 by its power series in exact fractions: another formula, without any rounding."""
    half = Fraction(x) / 2
    terms = ((-1) ** k * half ** (2 * k + 1) / (factorial(k) * factorial(k + 1)) for k in range(99))
    return float(sum(terms))


def test_the_bessel_function_equals_its_power_series():
    x = np.array([0.0, 0.25, 1.0, 3.75, 10.0, 27.5, 44.0])

    known = [power_series(value) for value in x]

    np.testing.assert_allclose(bessel_j1(x), known, atol=1e-14, rtol=0)
    np.testing.assert_allclose(bessel_j1(np.array([3.8317059702075125])), 0, atol=1e-14)


@pytest.mark.parametrize("kernel", [*map(bell, SHAPES), SincKernel(size=13, cutoff=1.2)])
def test_a_kernel_sums_to_one_and_is_equal_to_itself_turned_by_half(kernel):
    values = weights(kernel)

    assert values.shape == (kernel.size, kernel.size)
    assert values.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(values, values[::-1, ::-1], atol=1e-15)


@pytest.mark.parametrize("family", ["", "generalized_", "plateau_"])
def test_equal_axes_make_an_anisotropic_kernel_isotropic(family):
    around = weights(bell(f"{family}iso"))
    turned = weights(bell(f"{family}aniso", sigma_y=1.5, rotation=1.1))

    np.testing.assert_allclose(turned, around, atol=1e-14)


def test_the_first_axis_lies_along_columns_and_turns_towards_rows():
    flat = weights(bell("aniso", sigma_x=3.0, sigma_y=0.5, rotation=0.0))
    upright = weights(bell("aniso", sigma_x=3.0, sigma_y=0.5, rotation=math.pi / 2))

    assert flat[5, 8] > flat[8, 5]
    np.testing.assert_allclose(upright, flat.T, atol=1e-14)


def test_a_sinc_of_the_full_band_rings_and_hardly_blurs():
    values = weights(SincKernel(size=21, cutoff=math.pi))

    assert values[10, 10] > 0.7
    assert values.min() < 0


def test_an_unsharp_mask_keeps_flat_areas_and_overshoots_on_both_sides_of_an_edge():
    kernel = UnsharpKernel(sigma=0.8, amount=0.5)
    values = weights(kernel)
    edge = np.repeat([0.2, 0.6], 10)

    sharpened = np.convolve(edge, values.sum(0), mode="valid")

    assert kernel.size == 7
    assert values.sum() == pytest.approx(1, abs=1e-12)
    assert sharpened[0] == pytest.approx(0.2)
    assert sharpened[-1] == pytest.approx(0.6)
    assert sharpened.min() < 0.2 - 0.02
    assert sharpened.max() > 0.6 + 0.02
    assert weights(UnsharpKernel(sigma=0.8, amount=0))[3, 3] == 1


def test_a_given_kernel_is_used_as_it_is():
    kernel = GivenKernel(values=((0.0, 1.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 0.0)))

    assert kernel.size == 3
    assert weights(kernel).sum() == 3
    assert padded(weights(kernel), 7)[2, 3] == 1


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(SettingsError, match="size of a kernel must be odd, got 4"):
        SincKernel(size=4, cutoff=1.0)
    with pytest.raises(SettingsError, match="3 rows must have as many columns"):
        GivenKernel(values=((1.0,), (1.0,), (1.0,)))
