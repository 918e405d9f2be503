"""Our samplers against recorded states of the published loops (samplers.npz, e2e_official.npz)."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import (
    invert_deterministic,
    recorded_noise,
    sample_ancestral,
    sample_deterministic,
    sample_one_step,
)
from hfdiff.diffusion.schedule import ShiftSchedule
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from small_networks import SMALL_AUTOENCODERS, SMALL_UNETS
from support import fill_by_recipe, normal, picture, reference

pytestmark = pytest.mark.parity

# Measured float32 noise of the published loops: 3e-5; inverse, whose states reach 140, 2e-4.
STATES = {"atol": 3e-4, "rtol": 0}
INVERSE = {"atol": 2e-3, "rtol": 0}

FIFTEEN = ShiftSchedule.exponential()
FOUR = ShiftSchedule.exponential(4, min_noise=0.2)
SCHEDULES = {
    "noae_T15": FIFTEEN,
    "noae_T4": FOUR,
    "noae_T15_pixel": ShiftSchedule.exponential(input_scaling="pixel"),
    "ae_T15": FIFTEEN,
    "ae_T4": FOUR,
    "noae_T15_to5": FIFTEEN.respaced(5, "published"),
}


@dataclass
class Case:
    """One recorded run: what to call and what came."""

    name: str
    denoiser: Denoiser
    autoencoder: VQAutoencoder | None
    recorded: dict[str, Tensor]

    def encode(self, picture_pm1: Tensor) -> Tensor:
        return picture_pm1 if self.autoencoder is None else self.autoencoder.encode(picture_pm1)

    @property
    def lq_pm1(self) -> Tensor:
        return picture(f"samplers/{self.name}/y", self.recorded["y"].shape)

    @property
    def z_y(self) -> Tensor:
        return self.encode(F.interpolate(self.lq_pm1, scale_factor=4, mode="bicubic"))

    def noise(self, k: int, like: Tensor) -> Tensor:
        return normal(f"samplers/{self.name}/ancestral/draw{k}", like.shape)


@pytest.fixture(scope="module")
def arrays():
    return np.load(reference("samplers.npz"))


@pytest.fixture(scope="module")
def networks():
    return {
        "noae": fill_by_recipe(SwinUNet(SMALL_UNETS["small_a"])),
        "small_c": fill_by_recipe(SwinUNet(SMALL_UNETS["small_c"])),
        "autoencoder": fill_by_recipe(VQAutoencoder(SMALL_AUTOENCODERS["small"])),
    }


@pytest.fixture(params=SCHEDULES)
def case(request, arrays, networks):
    name = request.param
    has_autoencoder = name.startswith("ae_")
    small_c = has_autoencoder or name.endswith("pixel")
    network = networks["small_c" if small_c else "noae"]
    keys = [key for key in arrays.files if key.startswith(name + "/")]
    recorded = {key.removeprefix(name + "/"): torch.from_numpy(arrays[key]) for key in keys}
    denoiser = Denoiser(network, SCHEDULES[name], clip_x_0=not has_autoencoder)
    return Case(name, denoiser, networks["autoencoder"] if has_autoencoder else None, recorded)


class Trace:
    """Keeps every state and prediction, in the order of the calls."""

    def __init__(self):
        self.states, self.predictions = [], []

    def __call__(self, i, x, x_0):
        self.states.append(x)
        self.predictions.append(x_0)

    def at(self, calls: Tensor) -> Tensor:
        return torch.stack([self.states[int(call)] for call in calls])


def check_picture(case: Case, x_0: Tensor, loop: str) -> None:
    """Codes agree away from near-ties, where float noise decides; so does their picture."""
    if case.autoencoder is None:
        return
    recorded = case.recorded[f"{loop}/indices"].long()
    _, indices = case.autoencoder.quantise(x_0)
    clear = margin(case.autoencoder, x_0) > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(indices[clear], recorded[clear])
    decoded = case.autoencoder.decode(case.autoencoder.quantize.codes(recorded), quantise=False)
    torch.testing.assert_close(decoded, case.recorded[f"{loop}/image"], atol=5e-5, rtol=0)


def margin(autoencoder: VQAutoencoder, latent: Tensor) -> Tensor:
    """How much farther the second nearest code is than the nearest, squared; per position."""
    book = autoencoder.quantize.embedding.weight
    distances = (latent.movedim(1, -1)[..., None, :] - book).square().sum(-1)
    nearest = distances.topk(2, largest=False).values
    return nearest[..., 1] - nearest[..., 0]


def test_the_start_is_the_recorded_one(case):
    start = case.denoiser.schedule.prior(case.z_y, case.noise(0, case.z_y))

    torch.testing.assert_close(case.z_y, case.recorded["z_y"], atol=1e-5, rtol=0)
    torch.testing.assert_close(start, case.recorded["x_T"], atol=1e-5, rtol=0)


def test_ancestral_states_are_the_recorded_ones(case):
    trace = Trace()

    x_0 = sample_ancestral(case.denoiser, case.z_y, case.lq_pm1, noise=case.noise, on_state=trace)

    stored = case.recorded["ancestral/stored_calls"]
    torch.testing.assert_close(trace.at(stored), case.recorded["ancestral/samples"], **STATES)
    first, last = (case.recorded[f"ancestral/pred_xstart_{end}"] for end in ("first", "last"))
    torch.testing.assert_close(trace.predictions[0], first, **STATES)
    torch.testing.assert_close(trace.predictions[-1], last, **STATES)
    assert torch.equal(x_0, trace.states[-1])
    check_picture(case, x_0, "ancestral")


def test_deterministic_states_are_the_recorded_ones(case):
    trace = Trace()

    x_0 = sample_deterministic(
        case.denoiser, case.z_y, case.lq_pm1, noise=case.noise, on_state=trace
    )

    stored = case.recorded["ddim/stored_calls"]
    torch.testing.assert_close(trace.at(stored), case.recorded["ddim/samples"], **STATES)
    check_picture(case, x_0, "ddim")


def test_inverse_states_are_the_recorded_ones(case):
    if "inverse/samples" not in case.recorded:
        # Three of the six cases were recorded without the inverse direction.
        assert case.name in {"noae_T15_pixel", "noae_T15_to5"}
        return
    z_x = case.encode(picture(f"samplers/{case.name}/x", case.recorded["x"].shape))
    trace = Trace()

    invert_deterministic(case.denoiser, z_x, case.z_y, case.lq_pm1, on_state=trace)

    stored = case.recorded["inverse/stored_calls"]
    torch.testing.assert_close(trace.at(stored), case.recorded["inverse/samples"], **INVERSE)


def test_one_step_gives_the_recorded_latent(case):
    if case.name == "noae_T15_to5":
        # Published respacing loses the noisiest index: the recorded value is the first
        # prediction of the short chain, which `sample_one_step` refuses to call one step.
        last = case.denoiser.schedule.steps - 1
        x_T = case.denoiser.schedule.prior(case.z_y, case.noise(0, case.z_y))
        x_0 = case.denoiser.predict_x_0(x_T, last, case.lq_pm1)
    else:
        x_0 = sample_one_step(case.denoiser, case.z_y, case.lq_pm1, noise=case.noise)

    torch.testing.assert_close(x_0, case.recorded["one_step/sample"], **STATES)
    check_picture(case, x_0, "one_step")


@pytest.fixture(scope="module")
def end_to_end():
    return {
        key: torch.from_numpy(value)
        for key, value in np.load(reference("e2e_official.npz")).items()
    }


@pytest.fixture(scope="module")
def published_autoencoder():
    return fill_by_recipe(VQAutoencoder(VQAutoencoderConfig()))


def test_the_published_student_gives_the_recorded_latent(end_to_end, published_autoencoder):
    denoiser = Denoiser(fill_by_recipe(SwinUNet(SwinUNetConfig())), FIFTEEN)
    lq_pm1 = picture("e2e_official/y", (1, 3, 64, 64))
    noise = recorded_noise(normal("e2e_official/noise", (1, 3, 64, 64)))

    z_y = published_autoencoder.encode(F.interpolate(lq_pm1, scale_factor=4, mode="bicubic"))
    z_0 = sample_one_step(denoiser, z_y, lq_pm1, noise=noise)
    _, indices = published_autoencoder.quantise(z_0)

    clear = end_to_end["index_margin"] > 1e-5
    torch.testing.assert_close(z_y, end_to_end["z_y"], atol=2e-5, rtol=0)
    torch.testing.assert_close(z_0, end_to_end["z0"], atol=5e-5, rtol=0)
    assert torch.equal(indices[0][clear], end_to_end["indices"].long()[clear])


def test_the_published_decoder_gives_the_recorded_picture(end_to_end, published_autoencoder):
    codes = published_autoencoder.quantize.codes(end_to_end["indices"].long()[None])

    decoded = published_autoencoder.decode(codes, quantise=False)

    recorded = end_to_end["image_sub4"]
    torch.testing.assert_close(decoded[0, :, ::4, ::4], recorded, atol=1e-4, rtol=0)


def test_the_published_decoder_without_codes_gives_the_recorded_picture(
    end_to_end, published_autoencoder
):
    decoded = published_autoencoder.decode(end_to_end["z0"], quantise=False)

    recorded = end_to_end["image_noquant_sub4"]
    torch.testing.assert_close(decoded[0, :, ::4, ::4], recorded, atol=1e-4, rtol=0)
