import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.metrics.ssim import C1, C2, SIGMA, ssim_y
from scenes import gt_of, sr_of


def ssim_by_definition(sr_01, gt_01) -> float:
    """Every window by itself, straight from Wang et al. Eq. 13."""
    weights = np.array([65.481, 128.553, 24.966])
    x, y = (np.round(p[0].double().permute(1, 2, 0).numpy() @ weights + 16) for p in (sr_01, gt_01))
    side = np.exp(-((np.arange(11) - 5) ** 2) / (2 * SIGMA**2))
    window = np.outer(side, side) / side.sum() ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (p[top : top + 11, left : left + 11] for p in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a = (window * (a - mean_a) ** 2).sum()
            var_b = (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            brightness = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
            values.append(brightness * max(0.0, (2 * cov + C2) / (var_a + var_b + C2)))
    return float(np.mean(values))


def test_equal_pictures_have_ssim_one():
    assert ssim_y(gt_of("waves"), gt_of("waves")).item() == pytest.approx(1, abs=1e-12)


def test_ssim_is_the_mean_over_windows_of_its_definition():
    sr, gt = sr_of("bricks")[..., :24, :30], gt_of("bricks")[..., :24, :30]

    assert ssim_y(sr, gt).item() == pytest.approx(ssim_by_definition(sr, gt), abs=1e-10)


def test_inverted_structure_counts_as_zero_and_not_below():
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    assert 0 <= ssim_y(x, 1 - x).item() < 0.05


def test_flat_pictures_differ_by_brightness_alone():
    dark, bright = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)

    expected = (2 * 16 * 235 + C1) / (16**2 + 235**2 + C1)
    assert ssim_y(dark, bright).item() == pytest.approx(expected, abs=1e-12)


def test_ssim_is_symmetric():
    a, b = sr_of("rings"), gt_of("rings")

    torch.testing.assert_close(ssim_y(a, b), ssim_y(b, a), atol=1e-12, rtol=0)


def test_a_side_below_the_window_is_refused():
    small = torch.zeros(1, 3, 10, 40)

    with pytest.raises(ImageError, match="ssim_y needs sides of at least 11, got 40x10"):
        ssim_y(small, small)
