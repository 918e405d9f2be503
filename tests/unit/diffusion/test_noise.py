"""Positional noise: golden values, windows of one endless field, and that it is normal."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfdiff.diffusion.noise import Window, positional_noise

MASK = 0xFFFFFFFF


def plain_philox(counter, key):
    """Philox-4x32-10 of Salmon et al. 2011, in plain integers."""
    for _ in range(10):
        product_0, product_1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = (
            (product_1 >> 32) ^ counter[1] ^ key[0],
            product_1 & MASK,
            (product_0 >> 32) ^ counter[3] ^ key[1],
            product_0 & MASK,
        )
        key = ((key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK)
    return counter


def plain_noise(seed, channel, row, column, draw=0):
    """One value of the field: Box-Muller on 53 bits each of the first and last two words."""
    counter = (column & MASK, row & MASK, channel // 2, draw & MASK)
    words = plain_philox(counter, (seed & MASK, seed >> 32 & MASK))
    first, second = (((words[k] << 21 | words[k + 1] >> 11) + 0.5) * 2.0**-53 for k in (0, 2))
    turn = math.sin if channel % 2 else math.cos
    return math.sqrt(-2.0 * math.log(first)) * turn(2.0 * math.pi * second)


def value(seed, channel, row, column, draw=0):
    window = Window(top=row, left=column, height=1, width=1)
    return float(positional_noise(seed, window, channel + 1, draw=draw)[0, channel, 0, 0])


def field(seed, height=512, width=512, channels=4, **options):
    return positional_noise(
        seed, Window(top=0, left=0, height=height, width=width), channels, **options
    )[0].double()


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_plain_generator_gives_the_published_words(counter, key, words):
    """The known answers of Random123 for philox4x32 with ten rounds."""
    assert plain_philox(counter, key) == words


GOLDEN = {
    (0, 0, 0, 0): -0.121517976,
    (0, 1, 0, 0): -1.350032660,
    (0, 2, 0, 0): 1.071173270,
    (1, 0, 0, 0): -0.413897815,
    (7, 0, 3, 5): -0.488870445,
    (7, 2, 5, 3): -1.051433715,
    (42, 1, -1, -1): 0.420164226,
    (42, 0, -32, 100): -0.940853229,
    (123456789, 2, 4095, 8191): 0.242458802,
    (4294967296, 0, 1, 1): -1.235116179,
    (18446744073709551615, 3, 1000000, 2): -0.678889000,
    (20240701, 15, 2147483648, 2147483647): -0.683760148,
}


@pytest.mark.parametrize(("place", "wanted"), GOLDEN.items())
def test_golden_values(place, wanted):
    """(seed, channel, row, column): kept for ever, as old seeds must give old pictures.

    Origin: plain_noise above, at the time of version 0.1.
    """
    assert value(*place) == pytest.approx(wanted, rel=1e-6)
    assert plain_noise(*place) == pytest.approx(wanted, rel=1e-6)


@given(
    seed=st.integers(-(2**70), 2**70),
    channel=st.integers(0, 40),
    row=st.integers(-(2**31), 2**32),
    column=st.integers(-(2**31), 2**32),
    draw=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_every_value_is_that_of_the_plain_generator(seed, channel, row, column, draw):
    place = (seed, channel, row, column, draw)

    assert value(*place) == pytest.approx(plain_noise(*place), rel=1e-6, abs=1e-7)


@given(
    seed=st.integers(0, 2**64 - 1),
    top=st.integers(-50, 50),
    left=st.integers(-50, 50),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
)
@settings(max_examples=100, deadline=None)
def test_every_window_shows_the_same_field(seed, top, left, height, width):
    """Rows and columns above and left of the picture have their own noise, for padding."""
    whole = positional_noise(seed, Window(top=-50, left=-50, height=130, width=130), 3)

    part = positional_noise(seed, Window(top=top, left=left, height=height, width=width), 3)

    rows, columns = slice(top + 50, top + 50 + height), slice(left + 50, left + 50 + width)
    assert torch.equal(part, whole[..., rows, columns])


def test_more_channels_do_not_change_the_first():
    window = Window(top=3, left=4, height=5, width=6)

    many = positional_noise(9, window, 7)

    for channels in range(1, 7):
        assert torch.equal(positional_noise(9, window, channels), many[:, :channels])


def test_the_shape_and_type_are_those_of_a_latent():
    noise = positional_noise(0, Window(top=0, left=0, height=5, width=6), 3)

    assert noise.shape == (1, 3, 5, 6)
    assert noise.dtype == torch.float32
    assert noise.device.type == "cpu"


def test_it_is_standard_normal():
    """users 6.3.3; the fourth moment and the share beyond three sigma as well."""
    noise = field(seed=1)

    for channel in noise:
        assert abs(channel.mean()) < 0.01
        assert abs(channel.var() - 1) < 0.01
        assert abs((channel**4).mean() - 3) < 0.08
        assert abs((channel.abs() > 3).double().mean() - 0.0027) < 0.0006
    assert torch.isfinite(noise).all()


@pytest.mark.parametrize("lag", range(1, 9))
def test_neighbours_are_uncorrelated(lag):
    noise = field(seed=2, channels=9)

    rows = (noise[:, lag:] * noise[:, :-lag]).mean()
    columns = (noise[:, :, lag:] * noise[:, :, :-lag]).mean()
    channels = (noise[lag:] * noise[:-lag]).mean()

    assert max(map(abs, (rows, columns, channels))) < 0.01


@pytest.mark.parametrize("other", [{"seed": 4}, {"seed": 3 + 2**32}, {"seed": 3, "draw": 1}])
def test_other_seeds_and_draws_are_uncorrelated(other):
    for shift in (0, 1):
        a, b = field(seed=3, channels=2), field(channels=2, **other)
        assert abs((a[..., shift:] * b[..., : 512 - shift]).mean()) < 0.01


def test_seeds_count_by_their_low_64_bits():
    window = Window(top=0, left=0, height=4, width=4)

    assert torch.equal(positional_noise(-1, window, 3), positional_noise(2**64 - 1, window, 3))
