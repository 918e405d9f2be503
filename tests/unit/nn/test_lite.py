import math

import pytest
import torch
from torch.nn import functional as F

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.nn import lite
from hfdiff.nn.lite import (
    LiteBlock,
    LiteCodec,
    LiteCodecConfig,
    LiteDecoder,
    LiteDenoiser,
    LiteDenoiserConfig,
    time_features,
)
from support import fill_by_recipe, normal

NARROW = {"latent_channels": 3, "gt_width": 8, "lq_width": 8, "width": 8, "fine_width": 4}


def codec_of(**changes):
    return fill_by_recipe(LiteCodec(LiteCodecConfig(**NARROW, middle_width=8, **changes)))


def denoiser_of(**changes):
    config = LiteDenoiserConfig(latent_channels=3, width=8, time_width=8, **changes)
    return fill_by_recipe(LiteDenoiser(config))


def index(count=1):
    return torch.arange(count) + 1


# How far they see


def touched(function, picture, row, column):
    """Rows and columns of the result that a change of one input pixel changes at all."""
    changed = picture.clone()
    changed[..., row, column] += 1
    difference = (function(changed) - function(picture)).abs().amax((0, 1))
    rows, columns = difference.amax(1).nonzero(), difference.amax(0).nonzero()
    return (rows.min().item(), rows.max().item()), (columns.min().item(), columns.max().item())


@pytest.mark.parametrize("height", [1, 5, 8, 9, 21])
@pytest.mark.parametrize("middle_blocks", [0, 1, 2])
def test_the_decoder_gives_the_same_strip_by_strip(monkeypatch, height, middle_blocks):
    decoder = codec_of(blocks=1, middle_blocks=middle_blocks).decoder
    latent, lq_pm1 = torch.randn(2, 3, height, 7), torch.rand(2, 3, height, 7) * 2 - 1
    kept = latent.clone(), lq_pm1.clone()
    whole = decoder(latent, lq_pm1).detach()
    monkeypatch.setattr(lite, "_STRIP", 4)

    with torch.no_grad():
        strips = decoder(latent, lq_pm1)

    torch.testing.assert_close(strips, whole, atol=2e-5, rtol=1e-5)
    assert torch.equal(latent, kept[0])
    assert torch.equal(lq_pm1, kept[1])


def test_the_denoiser_gives_the_same_where_nothing_is_learnt():
    denoiser = denoiser_of(blocks=2)
    x, lq_pm1 = normal("x", (2, 3, 9, 7)), normal("lq", (2, 3, 9, 7))
    kept = x.clone(), lq_pm1.clone()
    learning = denoiser(x, index(2), lq_pm1).detach()

    with torch.no_grad():
        answer = denoiser(x, index(2), lq_pm1)

    assert torch.equal(answer, learning)
    assert torch.equal(x, kept[0])
    assert torch.equal(lq_pm1, kept[1])


def measured_reach(function, channels, *, side, scale_in=1, scale_out=1):
    """The greatest distance, in grid cells, between a changed cell and a changed result."""
    picture = normal("seen", (1, channels, side * scale_in, side * scale_in)).double()
    middle, distances = side // 2, []
    for within in range(scale_in):
        place = middle * scale_in + within
        for low, high in touched(function, picture, place, place):
            distances += [middle - low // scale_out, high // scale_out - middle]
    return max(distances)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_the_denoiser_sees_as_far_as_its_convolutions_say(blocks):
    denoiser = denoiser_of(blocks=blocks).double()
    lq = normal("lq", (1, 3, 31, 31)).double()

    reach = measured_reach(lambda x: denoiser(x, index(), lq), 3, side=31)
    reach_lq = measured_reach(lambda lq: denoiser(lq, index(), lq), 3, side=31)

    assert reach == reach_lq == denoiser.config.reach == 2 + 2 * blocks


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("middle_blocks", [1, 2, 3])
def test_the_decoder_sees_as_far_as_its_convolutions_say(blocks, middle_blocks):
    codec = codec_of(blocks=blocks, middle_blocks=middle_blocks).double()
    lq = normal("lq", (1, 3, 25, 25)).double()

    of_latent = measured_reach(lambda z: codec.decode(z, lq), 3, side=25, scale_out=4)
    of_lq = measured_reach(lambda lq: codec.decode(lq, lq), 3, side=25, scale_out=4)

    assert of_latent == of_lq == codec.config.decoder_reach


@pytest.mark.parametrize("count", [1, 3])
def test_the_encoders_see_as_far_as_their_convolutions_say(count):
    codec = codec_of(lq_blocks=count, gt_blocks=count).double()

    of_lq = measured_reach(codec.encode_lq, 3, side=25)
    of_gt = measured_reach(codec.encode_gt, 3, side=25, scale_in=4)

    assert of_lq == codec.config.lq_reach == 2 + 2 * count
    assert of_gt == codec.config.gt_reach == 2 + 2 * count


def test_a_whole_step_sees_as_far_as_its_parts_together():
    codec, denoiser = codec_of(lq_blocks=1, blocks=1).double(), denoiser_of(blocks=1).double()

    def step(lq):
        return codec.decode(denoiser(codec.encode_lq(lq), index(), lq), lq)

    reach = measured_reach(step, 3, side=41, scale_out=4)

    assert reach == codec.config.reach + denoiser.config.reach


# No dependence on the picture's size


@pytest.mark.parametrize(("height", "width"), [(40, 40), (41, 37)])
def test_the_inner_part_of_a_crop_equals_the_whole_picture(height, width):
    codec, denoiser = codec_of(lq_blocks=1, blocks=1), denoiser_of(blocks=1)
    reach = codec.config.reach + denoiser.config.reach
    lq = normal("whole", (2, 3, 64, 60)).tanh()
    t = index(2)

    def step(lq):
        return codec.decode(denoiser(codec.encode_lq(lq), t, lq), lq)

    crop = step(lq[..., 5 : 5 + height, 3 : 3 + width])

    inner = crop[..., 4 * reach : -4 * reach, 4 * reach : -4 * reach]
    top, left = 4 * (5 + reach), 4 * (3 + reach)
    expected = step(lq)[..., top : top + inner.shape[-2], left : left + inner.shape[-1]]
    assert inner.numel() > 0
    torch.testing.assert_close(inner, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (17, 5)])
def test_any_size_can_be_taken(height, width):
    codec, denoiser = codec_of(blocks=1), denoiser_of(blocks=1)
    lq = normal("small", (2, 3, height, width))

    y = codec.encode_lq(lq)

    assert denoiser(y, index(2), lq).shape == y.shape == (2, 3, height, width)
    assert codec.decode(y, lq).shape == (2, 3, 4 * height, 4 * width)
    assert codec.encode_gt(normal("gt", (2, 3, 4 * height, 4 * width))).shape == y.shape


def test_samples_of_a_batch_do_not_know_each_other():
    codec, denoiser = codec_of(blocks=1), denoiser_of(blocks=1)
    lq = normal("batch", (3, 3, 9, 9))

    whole = codec.decode(denoiser(codec.encode_lq(lq), index(3), lq), lq)

    for k in range(3):
        one, t = lq[k : k + 1], index(3)[k : k + 1]
        alone = codec.decode(denoiser(codec.encode_lq(one), t, one), one)
        torch.testing.assert_close(alone, whole[k : k + 1], atol=1e-5, rtol=1e-5)


# The codec


def test_a_new_block_is_the_identity():
    x, condition = normal("x", (2, 8, 5, 5)), normal("c", (2, 4))

    assert torch.equal(LiteBlock(8)(x), x)
    assert torch.equal(LiteBlock(8, condition=4)(x, condition), x)


def test_a_new_decoder_adds_little_to_the_enlarged_lq():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        decoder = LiteDecoder(LiteCodecConfig())
    lq = normal("lq", (1, 3, 12, 12)).tanh()

    picture = decoder(normal("latent", (1, 16, 12, 12)), lq)

    residual = picture - enlarge_cubic(lq, 4)
    assert residual.abs().mean() < 0.05
    assert residual.abs().max() > 0


def test_a_new_decoder_s_enlargement_has_no_checkerboard():
    """The four sub-pixels of each enlargement start equal."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        decoder = LiteDecoder(LiteCodecConfig())

    enlarged = F.pixel_shuffle(decoder.to_middle(normal("h", (1, 64, 6, 6))), 2)

    assert torch.equal(enlarged[..., ::2, ::2], enlarged[..., 1::2, 1::2])


def test_latents_are_centred_and_scaled_by_what_is_remembered():
    codec = codec_of(blocks=1)
    codec.latent_mean.copy_(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))
    codec.latent_std.copy_(torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1))
    gt, lq = normal("gt", (1, 3, 32, 32)).tanh(), normal("lq", (1, 3, 8, 8)).tanh()

    latent = codec.encode_gt(gt)

    raw = codec.raw_latent(gt)
    torch.testing.assert_close(latent, (raw - codec.latent_mean) / codec.latent_std)
    torch.testing.assert_close(
        codec.decode(latent, lq), codec.decoder(raw, lq), atol=1e-5, rtol=1e-4
    )


def test_reconstruction_remembers_mean_and_spread_of_the_latents():
    codec = codec_of(blocks=1)
    gt, lq = normal("gt", (4, 3, 64, 64)).tanh(), normal("lq", (4, 3, 16, 16)).tanh()
    raw = codec.raw_latent(gt)

    for _ in range(600):
        codec._remember(raw)

    torch.testing.assert_close(
        codec.encode_gt(gt).mean((0, 2, 3)), torch.zeros(3), atol=0.01, rtol=0
    )
    torch.testing.assert_close(codec.encode_gt(gt).std((0, 2, 3)), torch.ones(3), atol=0.01, rtol=0)
    picture, further = codec.reconstruct(gt, lq, torch.zeros(4, 3, 16, 16))
    torch.testing.assert_close(picture, codec.decoder(raw, lq))
    assert further == {}


def test_noise_of_reconstruction_is_in_units_of_each_sample_s_spread():
    codec = codec_of(blocks=1)
    gt, lq = normal("gt", (2, 3, 32, 32)).tanh(), normal("lq", (2, 3, 8, 8)).tanh()
    noise = normal("noise", (2, 3, 8, 8))
    raw = codec.raw_latent(gt)

    picture, _ = codec.reconstruct(gt, lq, noise)

    noisy = raw + raw.std((2, 3), keepdim=True) * noise
    torch.testing.assert_close(picture, codec.decoder(noisy, lq))


def test_without_the_encoder_of_the_gt_the_codec_still_decodes_and_says_what_it_cannot():
    codec = codec_of(blocks=1, with_gt_encoder=False)
    lq = normal("lq", (1, 3, 8, 8)).tanh()

    assert codec.decode(codec.encode_lq(lq), lq).shape == (1, 3, 32, 32)
    assert not any(key.startswith("gt_encoder") for key in codec.state_dict())
    with pytest.raises(SettingsError, match="written without the encoder of the gt"):
        codec.encode_gt(normal("gt", (1, 3, 32, 32)))


def test_the_last_weight_is_that_of_the_decoder_s_last_layer():
    codec = codec_of(blocks=1)

    assert codec.last_weight is codec.decoder.leave.weight
    assert codec.last_weight.shape[0] == 3


# The denoiser


def test_the_denoiser_knows_the_time():
    denoiser = denoiser_of(blocks=1)
    x, lq = normal("x", (2, 3, 6, 6)), normal("lq", (2, 3, 6, 6))

    early, late = (denoiser(x, torch.full((2,), t), lq) for t in (0, 14))

    assert (early - late).abs().max() > 1e-3


def test_the_denoiser_listens_to_latent_and_lq():
    denoiser = denoiser_of(blocks=1)
    x, lq = normal("x", (1, 3, 6, 6)), normal("lq", (1, 3, 6, 6))
    answer = denoiser(x, index(), lq)

    assert (denoiser(x + 1, index(), lq) - answer).abs().max() > 1e-2
    assert (denoiser(x, index(), lq + 1) - answer).abs().max() > 1e-2


def test_time_features_are_cosines_and_sines_of_falling_frequencies():
    features = time_features(torch.tensor([0, 3]), 8)

    frequencies = [1e4 ** (-k / 4) for k in range(4)]
    expected = [math.cos(3 * f) for f in frequencies] + [math.sin(3 * f) for f in frequencies]
    assert features[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert features[1].tolist() == pytest.approx(expected, abs=1e-6)


# Sizes


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_are_those_of_the_formulas():
    """A convolution has 9 c c' + c', a modulation 2 c d + 2 c numbers."""
    block = 2 * (9 * 64 * 64 + 64)
    time = (32 * 64 + 64) + (64 * 64 + 64)
    edges = 9 * (16 + 3) * 64 + 64 + 9 * 64 * 16 + 16
    config = LiteDenoiserConfig(latent_channels=16, width=64, blocks=14, time_width=32)

    assert parameters(LiteDenoiser(config)) == edges + time + 14 * (block + 2 * 64 * 64 + 2 * 64)


def test_the_encoder_of_the_gt_is_all_that_a_shipped_codec_lacks():
    whole = LiteCodec(LiteCodecConfig())
    shipped = LiteCodec(LiteCodecConfig(with_gt_encoder=False))

    assert parameters(whole) - parameters(shipped) == parameters(whole.gt_encoder)
    assert parameters(shipped) == parameters(whole.lq_encoder) + parameters(whole.decoder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LiteDenoiserConfig(time_width=7), "time_width must be even, got 7"),
        (lambda: LiteDenoiserConfig(blocks=0), "blocks must be at least 1, got 0"),
        (lambda: LiteCodecConfig(width=0), "width must be at least 1, got 0"),
        (lambda: LiteCodecConfig(latent_channels=0), "latent_channels must be at least 1, got 0"),
    ],
)
def test_sizes_that_cannot_work_are_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
