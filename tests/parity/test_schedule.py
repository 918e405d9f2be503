"""Our schedules against the sequences of the published code (fixture schedule.json)."""

import json

import pytest
import torch

from hfdiff.diffusion.schedule import ShiftSchedule
from support import reference

pytestmark = pytest.mark.parity

# float64 against float64; what is left is the order of operations.
EXACT = {"atol": 1e-10, "rtol": 1e-10}

SEQUENCES = {
    "sqrt_etas": "sqrt_eta",
    "etas": "eta",
    "etas_prev": "eta_previous",
    "alpha": "alpha",
    "posterior_mean_coef_xt": "posterior_x_t",
    "posterior_mean_coef_x0": "posterior_x_0",
    "posterior_variance": "posterior_variance",
    "ddim_a": "a",
    "ddim_b": "b",
    "ddim_c": "c",
    "input_std_latent": "input_stds",
    "weight_loss_mse": "mse_weight",
}


@pytest.fixture(scope="module")
def recorded():
    return json.loads(reference("schedule.json").read_text())


def build(case: str) -> ShiftSchedule:
    if case == "T4":
        return ShiftSchedule.exponential(4, min_noise=0.2)
    full = ShiftSchedule.exponential(15)
    return full if case == "T15" else full.respaced(5, "published")


@pytest.mark.parametrize("case", ["T15", "T4", "T15_respaced_5"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_every_sequence_is_the_published_one(recorded, case, name):
    expected = torch.tensor(recorded[case][name], dtype=torch.float64)

    ours = getattr(build(case), SEQUENCES[name])

    torch.testing.assert_close(ours, expected, **EXACT)


@pytest.mark.parametrize("case", ["T15", "T4", "T15_respaced_5"])
def test_variance_prior_and_timesteps_are_the_published_ones(recorded, case):
    expected = recorded[case]
    log_variance = torch.tensor(expected["posterior_log_variance_clipped"], dtype=torch.float64)

    schedule = build(case)

    torch.testing.assert_close(schedule.posterior_variance_clipped.log(), log_variance, **EXACT)
    assert schedule.prior_std == pytest.approx(expected["prior_std"], abs=1e-10)
    assert list(schedule.timesteps) == expected["timestep_map"]


@pytest.mark.parametrize("case", ["T15", "T4"])
def test_pixel_space_scaling_is_the_published_one(recorded, case):
    expected = torch.tensor(recorded[case]["input_scale_pixel"], dtype=torch.float64)
    steps, min_noise = (15, 0.04) if case == "T15" else (4, 0.2)

    schedule = ShiftSchedule.exponential(steps, min_noise=min_noise, input_scaling="pixel")

    torch.testing.assert_close(schedule.input_stds, expected, **EXACT)


def test_published_respacing_keeps_the_published_indices(recorded):
    for case, kept in recorded["respacing_examples"].items():
        full, steps = (int(number) for number in case.split("_to_"))

        schedule = ShiftSchedule.exponential(full).respaced(steps, "published")

        assert list(schedule.timesteps) == kept, case
