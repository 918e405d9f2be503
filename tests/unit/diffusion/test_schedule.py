import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hfdiff.core.errors import SettingsError
from hfdiff.diffusion.schedule import ScheduleConfig, ShiftSchedule, at

CHAINS = [
    ShiftSchedule.exponential(),
    ShiftSchedule.exponential(4, min_noise=0.2),
    ShiftSchedule.exponential().respaced(5, "published"),
    ShiftSchedule.exponential().respaced(3),
]


def latents(*names: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in names]


@pytest.mark.parametrize("schedule", CHAINS)
def test_deterministic_weights_sum_to_one_and_c_is_not_positive(schedule):
    total = schedule.a + schedule.b + schedule.c

    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-15, rtol=0)
    assert (schedule.c <= 0).all()


@pytest.mark.parametrize("schedule", CHAINS)
def test_the_step_at_index_zero_gives_x_0(schedule):
    x_t, x_0, y = latents("x_t", "x_0", "y")

    assert torch.equal(schedule.deterministic_step(x_t, x_0, y, 0), x_0)
    assert torch.equal(schedule.posterior_mean(x_t, x_0, 0), x_0)


@pytest.mark.parametrize("schedule", CHAINS)
def test_the_deterministic_step_keeps_the_noise_of_the_forward_formula(schedule):
    """Two neighbours on one forward path with one noise: the step goes from one to the other."""
    x_0, y, noise = latents("x_0", "y", "noise")
    i = schedule.steps - 1
    x_i = schedule.shift(x_0, y, i, noise)

    x_before = schedule.deterministic_step(x_i, x_0, y, i)

    torch.testing.assert_close(x_before, schedule.shift(x_0, y, i - 1, noise), atol=1e-12, rtol=0)


@pytest.mark.parametrize("schedule", CHAINS)
def test_the_inverse_step_undoes_the_deterministic_step_for_one_x_0(schedule):
    x_t, x_0, y = latents("x_t", "x_0", "y")
    i = schedule.steps - 1

    back = schedule.inverse_step(schedule.deterministic_step(x_t, x_0, y, i), x_0, y, i)

    torch.testing.assert_close(back, x_t, atol=1e-12, rtol=0)


@pytest.mark.parametrize("schedule", CHAINS)
def test_the_posterior_agrees_with_the_forward_variances(schedule):
    """Var x_{i-1} = (weight of x_i)^2 Var x_i + posterior variance, for every index."""
    forward = schedule.kappa**2 * schedule.eta

    before = schedule.posterior_x_t**2 * forward + schedule.posterior_variance

    torch.testing.assert_close(before, schedule.kappa**2 * schedule.eta_previous)


def test_shift_with_an_index_per_sample_equals_each_sample_alone():
    schedule = ShiftSchedule.exponential()
    x_0, y, noise = latents("x_0", "y", "noise")

    together = schedule.shift(x_0, y, torch.tensor([3, 14]), noise)

    assert torch.equal(together[0], schedule.shift(x_0, y, 3, noise)[0])
    assert torch.equal(together[1], schedule.shift(x_0, y, 14, noise)[1])


def test_prior_is_y_plus_noise_without_the_clean_latent():
    schedule = ShiftSchedule.exponential()
    y, noise = latents("y", "noise")

    torch.testing.assert_close(schedule.prior(y, noise), y + 1.98 * noise)


def test_a_looked_up_coefficient_has_the_dtype_of_what_it_multiplies():
    values = torch.tensor([0.25, 0.5], dtype=torch.float64)

    coefficient = at(values, torch.tensor([1, 0, 1]), torch.zeros(3, 1, 2, 2, dtype=torch.bfloat16))

    assert isinstance(coefficient, torch.Tensor)
    assert coefficient.dtype == torch.bfloat16
    assert coefficient.flatten().tolist() == [0.5, 0.25, 0.5]
    assert coefficient.shape == (3, 1, 1, 1)


def test_input_scaling_none_leaves_the_latent_as_it_is():
    schedule = ShiftSchedule.exponential(input_scaling="none")
    (x_t,) = latents("x_t")

    assert torch.equal(schedule.scale_input(x_t, 14), x_t)
    assert schedule.input_std(14) == 1.0


def test_input_std_of_the_start_is_the_published_number():
    assert ShiftSchedule.exponential().input_std(14) == pytest.approx(2.218197466, abs=1e-9)


@given(full=st.integers(2, 60), data=st.data())
def test_trailing_respacing_keeps_the_noisiest_index_and_rises(full, data):
    steps = data.draw(st.integers(1, full))

    schedule = ShiftSchedule.exponential(full).respaced(steps)

    assert schedule.steps == steps
    assert schedule.timesteps[-1] == full - 1
    assert schedule.timesteps[0] >= 0
    assert list(schedule.timesteps) == sorted(set(schedule.timesteps))


def test_respacing_to_the_full_length_changes_nothing():
    full = ShiftSchedule.exponential()

    for spacing in ("trailing", "published"):
        assert torch.equal(full.respaced(15, spacing).sqrt_eta, full.sqrt_eta)


def test_respacing_twice_still_names_indices_of_the_full_chain():
    once = ShiftSchedule.exponential().respaced(5)

    assert once.timesteps == (2, 5, 8, 11, 14)
    assert once.respaced(2).timesteps == (8, 14)
    assert once.respaced(2).full_steps == 15


def test_a_chain_of_one_index_has_the_full_noise_and_no_posterior_noise():
    schedule = ShiftSchedule.exponential().respaced(1)

    assert schedule.timesteps == (14,)
    assert schedule.prior_std == pytest.approx(1.98)
    assert schedule.posterior_variance_clipped.tolist() == [0.0]


@pytest.mark.parametrize("steps", [0, 16])
def test_respacing_out_of_range_is_refused(steps):
    with pytest.raises(SettingsError, match=rf"steps must lie in 1\.\.15, got {steps}"):
        ShiftSchedule.exponential().respaced(steps)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 1}, "at least 2 steps, got 1"),
        ({"kappa": 0.0}, "kappa and power must be positive"),
        ({"power": -0.3}, "kappa and power must be positive"),
        ({"sqrt_eta_end": 0.01}, "must rise from above 0"),
        ({"sqrt_eta_end": 1.5}, "must rise from above 0"),
    ],
)
def test_numbers_that_make_no_schedule_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        ScheduleConfig(**settings)
