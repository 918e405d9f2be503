import pytest
import torch

from hfdiff.losses import perceptual
from hfdiff.nn.features import VGG16, Lpips, Trunk
from support import fill_by_recipe, picture


def vgg_loss(sr_pm1, gt_pm1):
    trunk = fill_by_recipe(Trunk(VGG16, stages=perceptual.VGG_STAGES))
    return perceptual.vgg(trunk, sr_pm1, gt_pm1)


def lpips_loss(sr_pm1, gt_pm1):
    network = fill_by_recipe(Lpips(VGG16, stages=2))
    for head in network.heads:
        head.abs_()
    return perceptual.lpips(network, sr_pm1, gt_pm1)


both = pytest.mark.parametrize("loss", [vgg_loss, lpips_loss])


@both
def test_equal_pictures_cost_nothing(loss):
    x = picture("a", (2, 3, 32, 32))

    assert loss(x, x.clone()) == 0


@both
def test_the_loss_is_a_positive_float32_scalar_even_under_autocast(loss):
    a, b = picture("a", (2, 3, 32, 32)), picture("b", (2, 3, 32, 32))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(a, b)

    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value > 0
    assert value == loss(a, b)


@both
def test_the_gradient_reaches_the_sr_and_not_the_gt(loss):
    sr = picture("a", (1, 3, 32, 32)).requires_grad_()
    gt = picture("b", (1, 3, 32, 32)).requires_grad_()

    loss(sr, gt).backward()

    assert torch.isfinite(sr.grad).all()
    assert sr.grad.abs().max() > 0
    assert gt.grad is None


@both
def test_a_step_against_the_gradient_lowers_the_loss(loss):
    sr = picture("a", (1, 3, 32, 32)).requires_grad_()
    gt = picture("b", (1, 3, 32, 32))
    before = loss(sr, gt)
    before.backward()

    step = 0.1 * sr.grad / sr.grad.norm()

    assert loss(sr.detach() - step, gt) < before


@both
def test_the_loss_is_the_mean_over_the_batch(loss):
    a, b = picture("a", (2, 3, 32, 32)), picture("b", (2, 3, 32, 32))

    singles = (loss(a[:1], b[:1]) + loss(a[1:], b[1:])) / 2

    torch.testing.assert_close(loss(a, b), singles)
