import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.nn import autoencoder as module
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig

TINY = {"n_embed": 32, "ch": 32, "ch_mult": (1, 1), "num_res_blocks": 1, "resolution": 16}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tiny() -> VQAutoencoder:
    config = VQAutoencoderConfig(**TINY, attn_resolutions=(8,))
    return VQAutoencoder(config).eval().requires_grad_(False)


def test_the_published_factor_is_four():
    assert VQAutoencoderConfig().factor == 4
    assert VQAutoencoderConfig().widths == (128, 256, 512)


def test_encode_and_decode_change_sides_by_the_factor(tiny):
    latent = tiny.encode(random(2, 3, 16, 24))

    assert latent.shape == (2, 3, 8, 12)
    assert tiny.decode(latent).shape == (2, 3, 16, 24)
    assert tiny.decode(latent, quantise=False).shape == (2, 3, 16, 24)


def test_odd_sides_lose_their_last_row_and_column(tiny):
    assert tiny.encode(random(1, 3, 17, 15)).shape == (1, 3, 8, 7)


def test_attention_in_blocks_of_queries_changes_nothing(tiny, monkeypatch):
    picture = random(1, 3, 16, 24)
    whole = tiny.encode(picture)

    monkeypatch.setattr(module, "SCORES_AT_ONCE", 96 * 7)

    torch.testing.assert_close(tiny.encode(picture), whole, atol=1e-5, rtol=0)


def test_attention_is_the_softmax_formula(tiny):
    attention = tiny.encoder.mid.attn_1
    x = random(2, 32, 3, 5)

    ours = attention(x)

    h = attention.norm(x)
    q, k, v = (layer(h).flatten(2) for layer in (attention.q, attention.k, attention.v))
    weights = (q.transpose(1, 2) @ k * 32**-0.5).softmax(-1)
    mixed = (v @ weights.transpose(1, 2)).view_as(x)
    torch.testing.assert_close(ours, x + attention.proj_out(mixed), atol=1e-5, rtol=0)


def test_the_decoder_passes_gradients_straight_through_the_codes(tiny):
    latent = random(1, 3, 4, 4).requires_grad_()

    tiny.decode(latent).square().sum().backward()

    assert latent.grad.abs().sum() > 0


def test_decode_uses_codes_unless_told_otherwise(tiny):
    latent = random(1, 3, 4, 4)
    z_q, _ = tiny.quantise(latent)

    assert torch.equal(tiny.decode(latent), tiny.decode(z_q, quantise=False))
    assert not torch.equal(tiny.decode(latent), tiny.decode(latent, quantise=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ch": 48}, "widths must be multiples of 32, got 48"),
        ({"n_embed": 0}, "must be at least 1"),
        ({"num_res_blocks": 0}, "must be at least 1"),
    ],
)
def test_sizes_that_cannot_work_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        VQAutoencoderConfig(**TINY | changes)
