import pytest
import torch
from torch import nn

from hfdiff.losses import chunks
from hfdiff.losses.chunks import in_chunks, mean_in_chunks
from hfdiff.nn.recompute import recomputed
from memory import peak_bytes

SIZES = [0, 1, 2, 3, 5, 7]


@pytest.fixture
def layer():
    layer = nn.Linear(4, 4).double()
    with torch.no_grad():
        for k, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.linspace(-1, 1 + k, parameter.numel()).view_as(parameter))
    return layer


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_are_those_of_the_whole(layer, x, size):
    whole = layer(x).tanh()
    wanted = torch.autograd.grad(whole.square().sum(), [x, *layer.parameters()])

    made = in_chunks(lambda part: layer(part).tanh(), (x,), size)
    given = torch.autograd.grad(made.square().sum(), [x, *layer.parameters()])

    torch.testing.assert_close(made, whole)
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("size", SIZES)
def test_a_mean_over_samples_is_that_of_the_whole_though_chunks_differ_in_size(layer, x, size):
    wanted = layer(x).tanh().mean()

    made = mean_in_chunks(lambda a, b: layer(a).tanh().mean() + 0 * b.sum(), (x, x), size)

    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(made, layer.weight), torch.autograd.grad(wanted, layer.weight)
    )


def test_gradients_can_be_taken_again_while_the_graph_is_kept(layer, x):
    """The loop asks for the norm of each term before the sum goes backward."""
    made = mean_in_chunks(lambda part: layer(part).tanh().mean(), (x,), 2)

    first = torch.autograd.grad(made, layer.weight, retain_graph=True)
    second = torch.autograd.grad(made, layer.weight)

    assert torch.equal(first[0], second[0])


def test_only_chunks_are_computed_twice(layer, x, monkeypatch):
    counted = []

    def noted(function, part):
        counted.append(len(part))
        return recomputed(function, part)

    monkeypatch.setattr(chunks, "recomputed", noted)

    for size in (0, 5, 6):
        in_chunks(layer, (x,), size)
    assert counted == []
    in_chunks(layer, (x,), 2)
    assert counted == [2, 2, 1]


def test_memory_grows_with_the_chunk_and_not_with_the_batch():
    layers = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(6)))
    pictures = torch.zeros(8, 16, 64, 64, requires_grad=True)

    def peak(size):
        def run():
            mean_in_chunks(lambda part: layers(part).square().mean(), (pictures,), size).backward()

        return peak_bytes(run)

    assert peak(1) < 0.4 * peak(0)
