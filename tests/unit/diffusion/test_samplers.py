"""Samplers on denoisers whose answer is known on paper."""

import pytest
import torch
from torch import Tensor

from hfdiff.core.errors import SettingsError
from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import (
    invert_deterministic,
    noise_from,
    recorded_noise,
    sample_ancestral,
    sample_deterministic,
    sample_one_step,
)
from hfdiff.diffusion.schedule import ShiftSchedule

FULL = ShiftSchedule.exponential()
SAMPLERS = [sample_ancestral, sample_deterministic, sample_one_step]


def random(name: int) -> Tensor:
    generator = torch.Generator().manual_seed(name)
    return torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)


X_0, Y, NOISE = random(0), random(1), random(2)


def perfect(x_t: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
    return X_0


def shrink(x_t: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
    return 0.5 * x_t


class Draws:
    """Counts what was drawn."""

    def __init__(self):
        self.numbers = []

    def __call__(self, k: int, like: Tensor) -> Tensor:
        self.numbers.append(k)
        return random(10 + k).to(like)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", [FULL, FULL.respaced(4), FULL.respaced(1)])
def test_a_perfect_denoiser_gives_the_clean_latent_exactly(sampler, schedule):
    sampled = sampler(Denoiser(perfect, schedule), Y, Y, noise=Draws())

    assert torch.equal(sampled, X_0)


@pytest.mark.parametrize(
    ("sampler", "numbers"),
    [(sample_ancestral, [0, 1, 2, 3]), (sample_deterministic, [0]), (sample_one_step, [0])],
)
def test_only_ancestral_sampling_draws_on_the_way(sampler, numbers):
    draws = Draws()

    sampler(Denoiser(perfect, FULL.respaced(4)), Y, Y, noise=draws)

    assert draws.numbers == numbers


def test_deterministic_states_lie_on_the_forward_path_of_one_noise():
    """With x_0 known, every state must be the forward formula's, once it started on it."""
    start = FULL.shift(X_0, Y, 14, NOISE)
    as_prior = (start - Y) / FULL.prior_std
    states = []

    sample_deterministic(
        Denoiser(perfect, FULL),
        Y,
        Y,
        noise=recorded_noise(as_prior),
        on_state=lambda i, x, x_0: states.append((i, x)),
    )

    assert [i for i, _ in states] == list(range(14, -1, -1))
    for i, x in states[:-1]:
        torch.testing.assert_close(x, FULL.shift(X_0, Y, i - 1, NOISE), atol=1e-12, rtol=0)


def test_inversion_with_a_perfect_denoiser_finds_the_start():
    start = FULL.shift(X_0, Y, 0, NOISE)
    indices = []

    x_T = invert_deterministic(
        Denoiser(perfect, FULL), start, Y, Y, on_state=lambda i, x, x_0: indices.append(i)
    )

    torch.testing.assert_close(x_T, FULL.shift(X_0, Y, 14, NOISE), atol=1e-10, rtol=0)
    assert indices == list(range(1, 15))


def test_inversion_needs_no_witness_and_never_clips():
    denoiser = Denoiser(shrink, FULL, clip_x_0=True)
    free = Denoiser(shrink, FULL)

    x_T = invert_deterministic(denoiser, 5 * X_0, Y, Y)

    assert torch.equal(x_T, invert_deterministic(free, 5 * X_0, Y, Y))


def test_ancestral_noise_has_the_variance_of_the_forward_formula():
    """With x_0 = y known, each state is y plus noise of variance kappa^2 eta."""
    y = torch.zeros(1, 1, 200, 200, dtype=torch.float64)
    variances = {}

    sample_ancestral(
        Denoiser(lambda x, t, lq: torch.zeros_like(x), FULL),
        y,
        y,
        noise=noise_from(torch.Generator().manual_seed(0)),
        on_state=lambda i, x, x_0: variances.update({i: float(x.var())}),
    )

    for i in range(1, 15):
        expected = FULL.kappa**2 * float(FULL.eta[i - 1])
        assert variances[i] == pytest.approx(expected, rel=0.04)  # 40,000 draws: 3 sigma = 2 %
    assert variances[0] == 0


def test_one_step_is_the_first_prediction_of_the_long_way():
    predictions = []
    sample_deterministic(
        Denoiser(shrink, FULL),
        Y,
        Y,
        noise=recorded_noise(NOISE),
        on_state=lambda i, x, x_0: predictions.append(x_0),
    )

    one_step = sample_one_step(Denoiser(shrink, FULL), Y, Y, noise=recorded_noise(NOISE))

    assert torch.equal(one_step, predictions[0])


def test_one_step_refuses_a_chain_without_the_noisiest_index():
    denoiser = Denoiser(perfect, FULL.respaced(5, "published"))

    with pytest.raises(SettingsError, match="one step needs index 14 of the full chain") as caught:
        sample_one_step(denoiser, Y, Y, noise=recorded_noise(NOISE))

    assert "trailing" in caught.value.hint


def test_gradients_flow_through_one_step():
    gain = torch.ones(1, dtype=torch.float64, requires_grad=True)
    denoiser = Denoiser(lambda x, t, lq: gain * x, FULL)

    sample_one_step(denoiser, Y, Y, noise=recorded_noise(NOISE)).sum().backward()

    assert gain.grad.abs() > 0


def test_noise_from_equal_generators_is_equal_and_in_the_asked_dtype():
    like = torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16)
    one, other = (noise_from(torch.Generator().manual_seed(7)) for _ in range(2))

    first = one(0, like)

    assert first.dtype == torch.bfloat16
    assert torch.equal(first, other(0, like))
    assert not torch.equal(first, one(1, like))
