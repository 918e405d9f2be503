import pytest
import torch

from hfdiff.nn.lite import LiteDenoiser, LiteDenoiserConfig
from hfdiff.nn.swin_unet import SwinUNet
from memory import peak_bytes
from small_networks import SMALL_UNETS
from support import fill_by_recipe, picture

DENOISERS = {
    "swin_unet": lambda: SwinUNet(SMALL_UNETS["small_a"]),
    "lite": lambda: LiteDenoiser(LiteDenoiserConfig(latent_channels=3, width=16, blocks=6)),
}


@pytest.fixture(params=DENOISERS)
def denoiser(request):
    return fill_by_recipe(DENOISERS[request.param]()).requires_grad_()


def inputs(size=2, side=32):
    x = picture("x", (size, 3, side, side)).requires_grad_()
    return x, torch.arange(size), picture("lq", (size, 3, side, side))


def passes(denoiser, recomputes):
    """Answer, and gradients of the input and every weight."""
    denoiser.recomputes = recomputes
    x, t, lq_pm1 = inputs()
    answer = denoiser(x, t, lq_pm1)
    return answer, torch.autograd.grad(answer.square().mean(), [x, *denoiser.parameters()])


def test_values_and_gradients_are_those_of_a_plain_pass_to_the_bit(denoiser):
    for plain, again in zip(passes(denoiser, False), passes(denoiser, True), strict=True):
        torch.testing.assert_close(again, plain, atol=0, rtol=0)


def test_under_autocast_it_is_computed_again_in_the_same_precision(denoiser):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, again = passes(denoiser, False), passes(denoiser, True)

    torch.testing.assert_close(again, plain, atol=0, rtol=0)


def test_gradients_can_be_taken_again_while_the_graph_is_kept(denoiser):
    """The loop asks for the norm of each term before the sum goes backward."""
    denoiser.recomputes = True
    total = denoiser(*inputs()).square().mean()
    weights = list(denoiser.parameters())

    first = torch.autograd.grad(total, weights, retain_graph=True)
    second = torch.autograd.grad(total, weights)

    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_it_takes_less_memory(denoiser):
    def peak(recomputes):
        denoiser.recomputes = recomputes
        return peak_bytes(lambda: denoiser(*inputs(4, 64)).square().mean().backward())

    assert peak(recomputes=True) < 0.6 * peak(recomputes=False)
