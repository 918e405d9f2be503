import pytest
import torch
from torch import nn

from hfdiff.training.ema import averaged, moving_average


def line(weight):
    made = nn.Linear(1, 1, bias=False)
    nn.init.constant_(made.weight, weight)
    return made


def test_the_average_starts_as_the_start_weights_and_follows_from_the_first_step_on():
    """Facts e.6: e <- 0.999 e + 0.001 w, no warm-up."""
    network = line(1.0)
    average = averaged(network, 0.999, warm_up=False)

    for expected in (0.999 * 1.0 + 0.001 * 3.0, 0.999 * 1.002 + 0.001 * 3.0):
        nn.init.constant_(network.weight, 3.0)
        average.update_parameters(network)
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_buffers_are_those_of_the_network():
    network = nn.BatchNorm1d(2)
    average = averaged(network, 0.5, warm_up=False)

    network.running_mean.fill_(7.0)
    average.update_parameters(network)

    assert average.module.running_mean.tolist() == [7.0, 7.0]


def test_averages_warm_up_when_they_are_told_to():
    averaged = [torch.tensor([0.0])]

    moving_average(0.999, warm_up=True)(averaged, [torch.tensor([1.0])], 1)
    assert averaged[0].item() == pytest.approx(1 - 2 / 11)

    averaged = [torch.tensor([0.0])]
    moving_average(0.5, warm_up=True)(averaged, [torch.tensor([1.0])], torch.tensor(1000))
    assert averaged[0].item() == pytest.approx(0.5)
