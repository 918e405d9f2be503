import pytest
import torch

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig

TINY = {
    "image_size": 8,
    "model_channels": 32,
    "channel_mult": (1, 1),
    "num_res_blocks": (1, 1),
    "attention_resolutions": (8,),
    "swin_embed_dim": 32,
    "num_head_channels": 16,
    "window_size": 4,
    "mlp_ratio": 1.0,
}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tiny() -> SwinUNet:
    """A tiny network with no weight left at zero, so that everything matters."""
    network = SwinUNet(SwinUNetConfig(**TINY)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return network


def test_the_prediction_has_the_shape_of_the_latent(tiny):
    assert tiny(random(2, 3, 8, 16), torch.tensor([0, 14]), random(2, 3, 8, 16)).shape == (
        2,
        3,
        8,
        16,
    )


def test_every_parameter_gets_a_gradient(tiny):
    out = tiny(random(1, 3, 8, 8), torch.tensor([3]), random(1, 3, 8, 8))

    gradients = torch.autograd.grad(out.square().sum(), list(tiny.parameters()))

    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_samples_of_a_batch_do_not_see_each_other(tiny):
    x, lq, t = random(3, 3, 8, 8), random(3, 3, 8, 8), torch.tensor([0, 7, 14])

    together = tiny(x, t, lq)
    alone = torch.cat([tiny(x[i : i + 1], t[i : i + 1], lq[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_batch_in_bfloat16_stays_near_float32(tiny):
    x, lq, t = random(1, 3, 8, 8), random(1, 3, 8, 8), torch.tensor([7])
    exact = tiny(x, t, lq).detach()

    half = SwinUNet(tiny.config).eval()
    half.load_state_dict(tiny.state_dict())
    half.to(torch.bfloat16)
    rough = half(x.bfloat16(), t, lq.bfloat16())

    assert rough.dtype == torch.bfloat16
    # bfloat16 has 8 bits: a few per cent of the output's spread over this depth.
    torch.testing.assert_close(rough.float(), exact, atol=0.1 * float(exact.std()), rtol=0)


def test_an_lq_of_a_quarter_of_the_side_is_repeated(tiny):
    x, t, lq = random(1, 3, 8, 8), torch.tensor([1]), random(1, 3, 2, 2)
    repeated = lq.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)

    assert torch.equal(tiny(x, t, lq), tiny(x, t, repeated))


def test_an_lq_of_double_side_is_unshuffled_into_channels():
    network = SwinUNet(SwinUNetConfig(**TINY | {"in_channels": 15})).eval()

    out = network(random(1, 3, 8, 8), torch.tensor([1]), random(1, 3, 16, 16))

    assert out.shape == (1, 3, 8, 8)


def test_a_larger_lq_goes_through_the_feature_extractor():
    settings = TINY | {"in_channels": 67, "lq_size": 32}
    network = SwinUNet(SwinUNetConfig(**settings)).eval()

    out = network(random(1, 3, 8, 8), torch.tensor([1]), random(1, 3, 32, 32))

    assert out.shape == (1, 3, 8, 8)
    assert len(network.feature_extractor) == 6


def test_a_side_that_is_no_multiple_is_refused(tiny):
    with pytest.raises(ImageError, match="latent sides must be multiples of 8, got 8 x 12"):
        tiny(random(1, 3, 8, 12), torch.tensor([0]), random(1, 3, 8, 12))


@pytest.mark.parametrize(
    ("settings", "multiple"),
    [
        ({}, 64),
        (TINY, 8),
        (TINY | {"channel_mult": (1,), "num_res_blocks": (1,)}, 4),
        # The middle has attention though no level does; its window covers its side.
        (TINY | {"attention_resolutions": (), "window_size": 8}, 8),
    ],
)
def test_the_multiple_follows_from_windows_and_levels(settings, multiple):
    assert SwinUNetConfig(**settings).multiple == multiple


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_res_blocks": (1,)}, "one number for each of 2 levels, got 1"),
        ({"image_size": 7}, "image_size 7 cannot be halved 1 times"),
        ({"model_channels": 40}, "widths must be multiples of 32, got 40"),
        ({"swin_embed_dim": 48}, "widths must be multiples of 32, got 48"),
        ({"num_head_channels": 24}, "must be a multiple of num_head_channels 24"),
        ({"in_channels": 3}, "in_channels must exceed out_channels"),
        ({"lq_size": 12, "in_channels": 35}, "lq_size must be image_size 8 times 2, 4, 8"),
        ({"lq_size": 8, "in_channels": 35}, "lq_size must be image_size 8 times 2, 4, 8"),
        ({"lq_size": 16}, "in_channels must be 35 with lq_size 16, got 6"),
    ],
)
def test_sizes_that_cannot_work_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        SwinUNetConfig(**TINY | changes)
