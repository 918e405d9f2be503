import pytest
import torch
from torch import Tensor, nn

from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.schedule import ShiftSchedule

FULL = ShiftSchedule.exponential()


class Recorder:
    """A network that returns its scaled input and remembers how it was called."""

    def __init__(self, *, gain: float = 1.0):
        self.gain = gain

    def __call__(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
        self.x, self.t, self.lq_pm1 = x, t, lq_pm1
        return self.gain * x


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_network_sees_the_scaled_latent_the_index_and_the_plain_lq(x):
    network = Recorder()

    Denoiser(network, FULL).predict_x_0(x, 14, 2 * x)

    torch.testing.assert_close(network.x, x / 2.218197466)
    assert network.t.tolist() == [14, 14]
    assert network.t.dtype == torch.int64
    assert torch.equal(network.lq_pm1, 2 * x)


def test_an_index_per_sample_scales_each_sample_by_its_own(x):
    network = Recorder()

    Denoiser(network, FULL).predict_x_0(x, torch.tensor([0, 14]), x)

    assert network.t.tolist() == [0, 14]
    torch.testing.assert_close(network.x[0], x[0] / FULL.input_std(0))
    torch.testing.assert_close(network.x[1], x[1] / FULL.input_std(14))


@pytest.mark.parametrize("index", [1, torch.tensor([1, 1])])
def test_a_respaced_chain_passes_on_indices_of_the_full_one(x, index):
    network = Recorder()
    chain = FULL.respaced(2, "published")

    Denoiser(network, chain).predict_x_0(x, index, x)

    assert network.t.tolist() == [7, 7]
    torch.testing.assert_close(network.x, x / FULL.input_std(7))


def test_the_inverse_direction_has_index_zero_and_the_scale_of_the_last(x):
    network = Recorder()

    Denoiser(network, FULL).predict_x_T(x, x)

    assert network.t.tolist() == [0, 0]
    torch.testing.assert_close(network.x, x / 2.218197466)


def test_predictions_are_clamped_only_where_it_was_asked_for(x):
    wide = Recorder(gain=100.0)

    assert Denoiser(wide, FULL).predict_x_0(x, 3, x).abs().max() > 1
    assert Denoiser(wide, FULL, clip_x_0=True).predict_x_0(x, 3, x).abs().max() == 1
    assert Denoiser(wide, FULL, clip_x_0=True).predict_x_0_unclipped(x, 3, x).abs().max() > 1


class Half(nn.Module):
    """A module in bfloat16 that insists on its dtype."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))

    def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
        assert x.dtype == lq_pm1.dtype == torch.bfloat16
        return x * self.scale


def test_a_half_network_is_called_in_its_dtype_and_answers_in_the_latents(x):
    denoiser = Denoiser(Half(), FULL)

    assert denoiser.predict_x_0(x, 3, x).dtype == torch.float32
    assert denoiser.predict_x_T(x, x).dtype == torch.float32


def test_a_module_without_parameters_is_called_in_the_latents_dtype(x):
    class Plain(nn.Module):
        def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
            return x

    assert Denoiser(Plain(), FULL).predict_x_0(x.double(), 3, x).dtype == torch.float64
