import pytest
import torch
from torch import nn

from hfdiff.losses.adversarial import (
    LARGEST_WEIGHT,
    adaptive_weight,
    discriminator_hinge,
    generator_hinge,
)


def test_the_hinge_of_the_discriminator_by_hand():
    real, made = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])

    value = discriminator_hinge(real, made)

    assert value.item() == pytest.approx(0.5 * ((0 + 0.5 + 2) / 3 + (0 + 1) / 2))


def test_a_discriminator_that_is_sure_and_right_pays_nothing():
    assert discriminator_hinge(torch.full((2, 1, 3, 3), 1.5), torch.full((2, 1, 3, 3), -1.5)) == 0


def test_the_generator_wants_high_logits():
    assert generator_hinge(torch.tensor([1.0, -3.0])).item() == 1.0


def test_gradients_of_the_hinges_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2)]
    real, made = (tensor.requires_grad_() for tensor in logits)

    assert torch.autograd.gradcheck(discriminator_hinge, (real, made))
    assert torch.autograd.gradcheck(generator_hinge, (made,))


def test_half_logits_give_a_float32_loss():
    logits = torch.zeros(2, dtype=torch.bfloat16)

    assert generator_hinge(logits).dtype == discriminator_hinge(logits, logits).dtype
    assert generator_hinge(logits).dtype == torch.float32


@pytest.fixture
def layer():
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    return layer


def test_the_adaptive_weight_is_the_ratio_of_gradients_at_the_layer(layer):
    x = torch.tensor([[3.0, 4.0, 0.0]])

    weight = adaptive_weight(2 * layer(x).sum(), 0.5 * layer(x).sum(), layer.weight)

    assert weight.item() == pytest.approx(10 / (2.5 + 1e-4), rel=1e-6)


def test_the_adaptive_weight_is_no_path_for_gradients_and_leaves_none_behind(layer):
    x = torch.ones(1, 3)
    rest, fooled = layer(x).sum(), layer(x).sum()

    weight = adaptive_weight(rest, fooled, layer.weight)

    assert not weight.requires_grad
    assert layer.weight.grad is None
    (rest + weight * fooled).backward()  # the graphs are still there


def test_a_silent_discriminator_cannot_make_the_weight_infinite(layer):
    x = torch.ones(1, 3)

    weight = adaptive_weight(1e6 * layer(x).sum(), 0 * layer(x).sum(), layer.weight)

    assert weight == LARGEST_WEIGHT
