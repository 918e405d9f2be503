import math

import pytest
import torch

from hfdiff.nn.blocks import Downsample, FloatGroupNorm, ResidualBlock, Upsample, sinusoid


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_sinusoid_has_cosines_first_and_the_divisor_half():
    embedded = sinusoid(torch.tensor([0, 3]), 4)

    frequency = 1 / 100  # exp(-ln(10000) * 1 / 2)
    expected = [math.cos(3), math.cos(3 * frequency), math.sin(3), math.sin(3 * frequency)]
    assert embedded[0].tolist() == [1, 1, 0, 0]
    assert embedded[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_sinusoid_of_odd_width_ends_in_a_zero():
    embedded = sinusoid(torch.tensor([5]), 7)

    assert embedded.shape == (1, 7)
    assert embedded[0, -1] == 0


def test_norm_of_a_half_input_is_computed_in_float32():
    """Values of 300 overflow float16 when squared; the norm must still be right."""
    norm = FloatGroupNorm(32).to(torch.float16)
    x = 300 + random(1, 32, 8, 8)

    half = norm(x.half())

    assert half.dtype == torch.float16
    expected = FloatGroupNorm(32)(x.half().float())
    torch.testing.assert_close(half.float(), expected, atol=2e-3, rtol=0)  # rounding of the result


def test_norm_in_float64_stays_in_float64():
    x = random(1, 32, 4, 4).double()

    assert FloatGroupNorm(32).double()(x).dtype == torch.float64


@pytest.mark.parametrize("with_conv", [True, False])
def test_resampling_halves_and_doubles(with_conv):
    x = random(1, 8, 6, 10)

    assert Downsample(8, 8, with_conv=with_conv)(x).shape == (1, 8, 3, 5)
    assert Upsample(8, with_conv=with_conv)(x).shape == (1, 8, 12, 20)


@pytest.mark.parametrize("scale_shift", [True, False])
def test_a_fresh_residual_block_is_its_shortcut(scale_shift):
    """The last convolution starts at zero (facts c.8)."""
    block = ResidualBlock(32, 32, 16, scale_shift=scale_shift)
    x = random(2, 32, 4, 4)

    assert torch.equal(block(x, random(2, 16)), x)


def test_a_resizing_residual_block_resizes_its_shortcut_too():
    block = ResidualBlock(
        32, 64, 16, scale_shift=True, resample=Downsample(32, 32, with_conv=False)
    )

    assert block(random(2, 32, 4, 6), random(2, 16)).shape == (2, 64, 2, 3)
