import pytest
import torch

from hfdiff.nn import vq
from hfdiff.nn.vq import VectorQuantiser, codebook_loss


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def quantiser() -> VectorQuantiser:
    module = VectorQuantiser(20, 3)
    with torch.no_grad():
        module.embedding.weight.copy_(random(20, 3))
    return module


def test_every_position_gets_its_nearest_code(quantiser):
    latent = random(2, 3, 5, 7)

    z_q, indices = quantiser(latent)

    distances = (latent.movedim(1, -1)[..., None, :] - quantiser.embedding.weight).square().sum(-1)
    assert torch.equal(indices, distances.argmin(-1))
    torch.testing.assert_close(z_q, quantiser.codes(indices), atol=1e-6, rtol=0)


def test_searching_in_blocks_changes_nothing(quantiser, monkeypatch):
    latent = random(2, 3, 5, 7)
    whole = quantiser.nearest(latent)

    monkeypatch.setattr(vq, "DISTANCES_AT_ONCE", 60)

    assert torch.equal(quantiser.nearest(latent), whole)


def test_a_codebook_larger_than_a_block_still_works(quantiser, monkeypatch):
    latent = random(1, 3, 2, 2)
    whole = quantiser.nearest(latent)

    monkeypatch.setattr(vq, "DISTANCES_AT_ONCE", 1)

    assert torch.equal(quantiser.nearest(latent), whole)


def test_the_gradient_passes_straight_to_the_latent(quantiser):
    latent = random(1, 3, 4, 4).requires_grad_()
    weights = random(1, 3, 4, 4)

    (quantiser(latent)[0] * weights).sum().backward()

    assert torch.equal(latent.grad, weights)
    assert quantiser.embedding.weight.grad is None


def test_a_half_latent_is_searched_in_float32(quantiser):
    latent = random(1, 3, 4, 4).half()

    z_q, indices = quantiser.half()(latent)

    assert z_q.dtype == torch.float16
    assert torch.equal(indices, quantiser.float().nearest(latent.float()))


def test_beta_sits_on_the_codebook_term():
    latent = torch.tensor([[[[1.0]]]], requires_grad=True)
    codes = torch.tensor([[[[3.0]]]], requires_grad=True)

    loss = codebook_loss(latent, codes, beta=0.25)
    loss.backward()

    assert loss.item() == 4 + 0.25 * 4
    assert latent.grad.item() == -4
    assert codes.grad.item() == 1


def test_codes_start_within_one_over_their_number():
    weight = VectorQuantiser(50, 4).embedding.weight

    assert weight.abs().max() <= 1 / 50


def test_codes_are_found_in_float32_under_autocast():
    quantiser = VectorQuantiser(512, 3)
    torch.nn.init.normal_(quantiser.embedding.weight, generator=torch.Generator().manual_seed(0))
    latent = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    wanted = quantiser.nearest(latent)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quantiser.nearest(latent)

    assert torch.equal(found, wanted)
