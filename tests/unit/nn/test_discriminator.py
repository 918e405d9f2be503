import pytest
import torch
from torch import nn

from hfdiff.core.errors import SettingsError
from hfdiff.nn.discriminator import DiscriminatorConfig, PatchDiscriminator
from support import fill_by_recipe, normal


def discriminator_of(**changes):
    return fill_by_recipe(PatchDiscriminator(DiscriminatorConfig(width=8, **changes)))


def test_the_published_one_has_the_published_layers():
    """Facts e.8: three strided layers, 64 channels doubled to 512, batch norm, LeakyReLU 0.2."""
    network = PatchDiscriminator(DiscriminatorConfig(norm="batch"))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]

    assert [(c.in_channels, c.out_channels, c.stride[0]) for c in convolutions] == [
        (3, 64, 2),
        (64, 128, 2),
        (128, 256, 2),
        (256, 512, 1),
        (512, 1, 1),
    ]
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, True]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 3
    assert {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_least_side_leaves_one_logit(layers):
    network = discriminator_of(layers=layers)
    side = DiscriminatorConfig(width=8, layers=layers).least_side

    assert network(normal("x", (2, 3, side, side))).shape == (2, 1, 1, 1)
    with pytest.raises(RuntimeError):
        network(normal("x", (2, 3, side - 1, side - 1)))


def test_there_is_a_logit_for_each_patch():
    assert discriminator_of(layers=3)(normal("x", (1, 3, 64, 96))).shape == (1, 1, 6, 10)


def test_with_group_norm_samples_of_a_batch_do_not_know_each_other():
    network = discriminator_of().train()
    x = normal("x", (3, 3, 32, 32))

    whole = network(x)

    for k in range(3):
        torch.testing.assert_close(network(x[k : k + 1]), whole[k : k + 1], atol=1e-5, rtol=1e-4)


def test_with_batch_norm_they_do():
    network = discriminator_of(norm="batch").train()
    x = normal("x", (3, 3, 32, 32))

    assert (network(x[:1]) - network(x)[:1]).abs().max() > 1e-2


@pytest.mark.parametrize("changes", [{"width": 12}, {"layers": 0}])
def test_sizes_that_cannot_work_are_refused(changes):
    with pytest.raises(SettingsError, match="width must be a multiple of 8 and layers at least 1"):
        DiscriminatorConfig(**changes)
