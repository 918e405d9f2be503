import pytest
import torch
from torch import nn

from hfdiff.core.errors import SettingsError
from hfdiff.losses.distill import (
    COVARIANCE_PATCH,
    anchor_loss,
    consistency_loss,
    covariance_loss,
    distill_loss,
    inverse_loss,
    l1_loss,
)
from toy_student import PRIOR_STD, Toy

ALL = [distill_loss, inverse_loss, consistency_loss, covariance_loss, l1_loss]


def set_to(number, value):
    with torch.no_grad():
        number.fill_(value)


def test_distill_is_zero_for_a_student_that_answers_as_the_teacher():
    toy = Toy()
    set_to(toy.forward, 0.6)

    assert distill_loss(toy.inputs()) == 0


def test_inv_is_zero_for_a_student_that_undoes_the_teacher():
    toy = Toy(torch.float64)
    set_to(toy.inverse, 1 / 0.6)

    assert inverse_loss(toy.inputs()).item() == pytest.approx(0, abs=1e-24)


def test_con_is_zero_for_two_directions_that_undo_each_other():
    toy = Toy(torch.float64)
    set_to(toy.inverse, 1 / 0.7)

    assert consistency_loss(toy.inputs()).item() == pytest.approx(0, abs=1e-24)


def test_l1_is_zero_for_the_gt_itself():
    toy = Toy()
    toy.gt_pm1 = toy.inputs().sr_pm1.detach()

    assert l1_loss(toy.inputs()) == 0


def test_anchor_is_zero_for_a_decoder_that_restores_the_gt():
    toy = Toy()
    toy.gt_pm1 = toy.inputs().reconstruction_pm1.detach()

    assert anchor_loss(toy.inputs()) == 0


def test_anchor_moves_a_decoder_that_learns_along_and_never_the_student():
    toy = Toy()
    toy.decoder.requires_grad_(True)

    anchor_loss(toy.inputs()).backward()

    assert toy.decoder.grad is not None
    assert toy.forward.grad is None
    assert toy.inverse.grad is None


def test_values_are_the_formulas_by_hand():
    """The toy's answers are scales of its inputs, so each term is a scale of a mean square."""
    toy = Toy(torch.float64)
    inputs = toy.inputs()

    start, clean = toy.x_T.square().mean().item(), toy.x_0_gt.square().mean().item()

    assert distill_loss(inputs).item() == pytest.approx((0.7 - 0.6) ** 2 * start, rel=1e-12)
    assert inverse_loss(inputs).item() == pytest.approx((1.3 * 0.6 - 1) ** 2 * start, rel=1e-12)
    assert consistency_loss(inputs).item() == pytest.approx((1.3 * 0.7 - 1) ** 2 * clean, rel=1e-12)


def test_cov_is_the_formula_with_torch_s_own_covariance():
    toy = Toy(torch.float64)
    d = 1.3 * toy.x_0_gt - toy.y
    k = COVARIANCE_PATCH
    white = PRIOR_STD**2 * torch.eye(k * k, dtype=torch.float64)

    total = 0.0
    for sample in d:
        for channel in sample:
            patches = channel.unfold(0, k, 1).unfold(1, k, 1).reshape(-1, k * k)
            total += (torch.cov(patches.T) - white).square().mean()

    assert covariance_loss(toy.inputs()).item() == pytest.approx((total / 2).item(), rel=1e-12)


def test_cov_is_small_for_white_noise_of_the_right_strength_only():
    toy = Toy()
    noise = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(1))
    toy.y = torch.zeros_like(noise)

    values = {}
    for strength in (0.5, 1.0, 2.0):
        toy.x_0_gt = strength * PRIOR_STD / 1.3 * noise
        values[strength] = covariance_loss(toy.inputs()).item()

    assert values[1.0] < 0.02 * min(values[0.5], values[2.0])


def test_cov_refuses_latents_with_less_than_two_patches():
    toy = Toy()
    toy.x_0_gt, toy.y = (tensor[..., :8, :8] for tensor in (toy.x_0_gt, toy.y))

    with pytest.raises(SettingsError, match="the term cov needs latents larger than 8x8, got 8x8"):
        covariance_loss(toy.inputs())


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.__name__)
def test_gradients_are_those_of_finite_differences(loss):
    toy = Toy(torch.float64)
    numbers = [toy.forward, toy.inverse]
    given = torch.autograd.grad(loss(toy.inputs()), numbers, allow_unused=True)

    for number, gradient in zip(numbers, given, strict=True):
        measured = slope(loss, toy, number)
        if gradient is None and loss is consistency_loss:
            continue  # the first direction is without gradient on purpose
        assert measured == pytest.approx(0.0 if gradient is None else gradient.item(), rel=1e-6)


def slope(loss, toy: Toy, number: nn.Parameter) -> float:
    before, step = number.item(), 1e-6
    ends = []
    for value in (before - step, before + step):
        set_to(number, value)
        ends.append(loss(toy.inputs()).item())
    set_to(number, before)
    return (ends[1] - ends[0]) / (2 * step)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.__name__)
def test_losses_are_float32_whatever_the_networks_compute_in(loss):
    toy = Toy(torch.bfloat16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(toy.inputs())

    assert value.dtype == torch.float32
    assert value.shape == ()


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.__name__)
def test_no_gradient_reaches_teacher_and_frozen_decoder(loss):
    toy = Toy()

    loss(toy.inputs()).backward()

    assert toy.teacher.grad is None
    assert toy.decoder.grad is None


def test_a_decoder_that_learns_along_takes_gradient_from_picture_terms_only():
    for loss, expected in ((l1_loss, True), (distill_loss, False)):
        toy = Toy()
        toy.decoder.requires_grad_(True)

        loss(toy.inputs()).backward()

        assert (toy.decoder.grad is not None) == expected
