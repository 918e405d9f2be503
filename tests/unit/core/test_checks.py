"""Tensors at public doors: shape, type and finite values are checked once."""

import pytest
import torch

from hfdiff.core.checks import expect_image
from hfdiff.core.errors import ImageError


def test_a_picture_passes():
    expect_image(torch.zeros(2, 3, 1, 1), "lq_01")
    expect_image(torch.zeros(2, 4, 5, 6, dtype=torch.bfloat16), "y", channels=4)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 4, 5), r"lq_01 must have the shape \[B, 3, H, W\], got \[3, 4, 5\]"),
        (torch.zeros(1, 1, 4, 5), r"got \[1, 1, 4, 5\]"),
        (torch.zeros(1, 3, 0, 5), r"got \[1, 3, 0, 5\]"),
        (torch.zeros(1, 3, 4, 5, dtype=torch.uint8), r"must be a float tensor, got torch.uint8"),
        (torch.full((1, 3, 2, 2), torch.nan), "lq_01 holds values that are not finite"),
        (torch.full((1, 3, 2, 2), torch.inf), "lq_01 holds values that are not finite"),
    ],
)
def test_anything_else_is_refused_by_name(picture, message):
    with pytest.raises(ImageError, match=message):
        expect_image(picture, "lq_01")
