import math

import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.metrics.niqe import half, niqe
from scenes import SCENES, gt_of, sr_of, worse

# Recorded from this code. The scorer beside the checkout gives the same to 1e-10 when both round
# grey values of .5 alike; as it is, 8 to 11 pixels of these pictures make it differ by up to 0.03.
GOLDEN = {"waves": 12.2377027, "bricks": 14.9401700, "rings": 16.0860596, "slope": 13.5056916}


@pytest.mark.parametrize("scene", SCENES)
def test_golden_values_on_drawn_pictures(scene):
    assert niqe(sr_of(scene)).item() == pytest.approx(GOLDEN[scene], abs=1e-5)


def test_blur_makes_a_picture_less_natural():
    values = [niqe(worse(gt_of("slope"), times)).item() for times in (2, 5, 9)]

    assert values == sorted(values)


def test_pixels_beyond_whole_blocks_do_not_count():
    picture = gt_of("waves")

    assert torch.equal(niqe(picture), niqe(picture[..., :192, :288]))


def test_half_keeps_constants_and_halves_ramps():
    ramp = torch.arange(32, dtype=torch.float64).expand(1, 1, 16, 32)

    halved = half(ramp)

    assert halved.shape == (1, 1, 8, 16)
    inner = halved[0, 0, :, 2:-2]
    torch.testing.assert_close(inner, (torch.arange(16.0)[2:-2] * 2 + 0.5).double().expand(8, 12))
    torch.testing.assert_close(
        half(torch.full_like(ramp, 7)), torch.full((1, 1, 8, 16), 7.0).double()
    )


def test_half_mirrors_the_border_with_its_edge_sample():
    column = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    column[..., 0] = 1

    # The first target sample lies half a sample from the edge, one and a half from its mirror.
    assert half(column)[0, 0, 4, 0].item() == pytest.approx(0.43359375 + 0.11328125)


def test_a_picture_without_texture_has_no_value():
    assert math.isnan(niqe(torch.full((1, 3, 192, 192), 0.5)).item())


def test_a_side_below_one_block_is_refused():
    with pytest.raises(ImageError, match="niqe needs sides of at least 96, got 200x95"):
        niqe(torch.zeros(1, 3, 95, 200))


def test_saturated_areas_give_the_same_bits_in_any_memory_layout():
    picture = gt_of("waves").clone()
    picture[..., 40:150, 60:200] = 1

    strided = torch.from_numpy(np.asfortranarray(picture.numpy()))

    assert torch.equal(niqe(picture), niqe(strided))
