import math

import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.metrics.psnr import psnr_y
from scenes import gt_of, sr_of

# Y runs from 16 to 235 while the peak is 255, so the same error counts 219/255 of itself.
LUMA_GAIN = 20 * math.log10(255 / 219)


def grey(level: int) -> torch.Tensor:
    return torch.full((1, 3, 16, 16), level / 255, dtype=torch.float64)


def test_equal_pictures_have_infinite_psnr():
    assert psnr_y(gt_of("waves"), gt_of("waves")).item() == math.inf


def test_one_grey_level_everywhere_is_48_decibels_and_the_gain_of_luma():
    value = psnr_y(grey(100), grey(101)).item()

    assert value == pytest.approx(48.1308 + LUMA_GAIN, abs=1e-4)


def test_an_error_in_green_costs_more_than_one_in_blue():
    green, blue = grey(100), grey(100)
    green[:, 1] += 10 / 255
    blue[:, 2] += 10 / 255

    values = torch.cat([psnr_y(green, grey(100)), psnr_y(blue, grey(100))])

    expected = [20 * math.log10(255 * 25.5 / w) for w in (128.553, 24.966)]
    assert values.tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_is_symmetric():
    assert psnr_y(sr_of("bricks"), gt_of("bricks")) == psnr_y(gt_of("bricks"), sr_of("bricks"))


def test_psnr_does_not_know_rows_from_columns():
    sr, gt = sr_of("bricks"), gt_of("bricks")

    turned = psnr_y(sr.transpose(2, 3), gt.transpose(2, 3))

    torch.testing.assert_close(turned, psnr_y(sr, gt))


@pytest.mark.parametrize(
    ("sr", "gt", "words"),
    [
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9), "must have the same shape"),
        (torch.zeros(1, 3, 8, 8) - 1, torch.zeros(1, 3, 8, 8), r"sr_01 must hold values in \[0, 1"),
        (torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 255.0), "gt_01 must hold values"),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), r"sr_01 must have the shape \[B, 3, H, W\]"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(sr, gt, words):
    with pytest.raises(ImageError, match=words):
        psnr_y(sr, gt)
