"""The forward states of training, through the public pieces (train_teacher, train_sinsr)."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import recorded_noise, sample_deterministic
from hfdiff.diffusion.schedule import ShiftSchedule
from hfdiff.nn.autoencoder import VQAutoencoder
from hfdiff.nn.swin_unet import SwinUNet
from small_networks import SMALL_AUTOENCODERS, SMALL_UNETS
from support import fill_by_recipe, normal, picture, reference

pytestmark = pytest.mark.parity

LATENT = {"atol": 3e-5, "rtol": 0}
SCHEDULE = ShiftSchedule.exponential()


def load(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in np.load(reference(name)).items()}


def per_sample(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).square().flatten(1).mean(dim=1)


@pytest.fixture(scope="module")
def autoencoder():
    return fill_by_recipe(VQAutoencoder(SMALL_AUTOENCODERS["small"]))


@pytest.fixture(scope="module")
def teacher():
    return fill_by_recipe(SwinUNet(SMALL_UNETS["small_a"]))


@pytest.fixture(scope="module")
def student():
    return fill_by_recipe(SwinUNet(SMALL_UNETS["small_a"]), prefix="student/")


def test_teacher_training_states_are_the_recorded_ones(autoencoder, teacher):
    """Facts e.1: encode both, shift by a per-sample index, predict x_0."""
    recorded = load("train_teacher.npz")
    expected = json.loads(reference("train_teacher.json").read_text())
    gt_pm1 = picture("train_teacher/gt", (4, 3, 128, 128))
    lq_pm1 = picture("train_teacher/lq", (4, 3, 32, 32))
    noise, t = normal("train_teacher/noise", (4, 3, 32, 32)), recorded["t"]

    z_gt = autoencoder.encode(gt_pm1)
    z_y = autoencoder.encode(F.interpolate(lq_pm1, scale_factor=4, mode="bicubic"))
    x_t = SCHEDULE.shift(z_gt, z_y, t, noise)
    x_0 = Denoiser(teacher, SCHEDULE).predict_x_0(x_t, t, lq_pm1)
    sr_pm1 = autoencoder.decode(x_0[:1])

    torch.testing.assert_close(z_gt, recorded["z_gt"], atol=1e-5, rtol=0)
    torch.testing.assert_close(z_y, recorded["z_y"], atol=1e-5, rtol=0)
    torch.testing.assert_close(x_t, recorded["x_t"], **LATENT)
    torch.testing.assert_close(x_0, recorded["x0_pred"], **LATENT)
    torch.testing.assert_close(sr_pm1, recorded["image_pred_sample0"], atol=5e-5, rtol=0)
    assert per_sample(z_gt, x_0).tolist() == pytest.approx(expected["mse"], rel=1e-5)


def test_student_training_states_are_the_recorded_ones(autoencoder, teacher, student):
    """Facts e.3: the teacher's path and the student's four calls."""
    recorded = load("train_sinsr.npz")
    terms = json.loads(reference("train_sinsr.json").read_text())["latent"]["terms"]
    gt_pm1 = picture("train_sinsr/gt", (2, 3, 128, 128))
    lq_pm1 = picture("train_sinsr/lq", (2, 3, 32, 32))
    noise = normal("train_sinsr/noise", (2, 3, 32, 32))
    pupil, last = Denoiser(student, SCHEDULE), SCHEDULE.steps - 1

    z_gt = autoencoder.encode(gt_pm1)
    z_y = autoencoder.encode(F.interpolate(lq_pm1, scale_factor=4, mode="bicubic"))
    x_T = SCHEDULE.prior(z_y, noise)
    teacher_x_0 = sample_deterministic(
        Denoiser(teacher, SCHEDULE), z_y, lq_pm1, noise=recorded_noise(noise)
    )
    student_x_0 = pupil.predict_x_0(x_T, last, lq_pm1)
    # From here on the recorded state goes in, so that each call is judged alone.
    inverse = pupil.predict_x_T(recorded["teacher_x0"], lq_pm1)
    gt_noisy = pupil.predict_x_T(z_gt, lq_pm1)
    back = pupil.predict_x_0(gt_noisy, last, lq_pm1)

    torch.testing.assert_close(x_T, recorded["x_T"], **LATENT)
    torch.testing.assert_close(teacher_x_0, recorded["teacher_x0"], atol=1e-3, rtol=0)
    torch.testing.assert_close(student_x_0, recorded["student_x0"], **LATENT)
    calls = (student_x_0, inverse, gt_noisy, back)
    for number, output in enumerate(calls):
        torch.testing.assert_close(output, recorded[f"call{number}_output"], **LATENT)
    inputs = (x_T, recorded["teacher_x0"], z_gt, gt_noisy)
    for number, unscaled in enumerate(inputs):
        scaled = SCHEDULE.scale_input(unscaled, last)
        torch.testing.assert_close(scaled, recorded[f"call{number}_input"], **LATENT)
    assert per_sample(teacher_x_0, student_x_0).tolist() == pytest.approx(terms["mse"], rel=1e-5)
    assert per_sample(x_T, inverse).tolist() == pytest.approx(terms["mse_xT"], rel=1e-5)
    assert per_sample(z_gt, back).tolist() == pytest.approx(terms["mse_gt"], rel=1e-5)


def gradient_norms(network: SwinUNet, loss: torch.Tensor, names: list[str]) -> dict[str, float]:
    parameters = dict(network.named_parameters())
    gradients = dict(
        zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)
    )
    total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    return {"total": float(total)} | {
        name: float(gradients[name].norm()) for name in names if name != "total"
    }


@pytest.mark.parametrize("term", ["mse", "pixel_term"])
def test_gradients_of_teacher_terms_are_the_recorded_ones(autoencoder, teacher, term):
    """The pixel term goes through clamp, decoder and the straight-through quantiser."""
    recorded = load("train_teacher.npz")
    expected = json.loads(reference("train_teacher.json").read_text())[f"grad_norms_{term}"]
    teacher = copy.deepcopy(teacher).requires_grad_(True)
    lq_pm1, gt_pm1 = recorded["lq"], picture("train_teacher/gt", (4, 3, 128, 128))

    x_0 = Denoiser(teacher, SCHEDULE).predict_x_0(recorded["x_t"], recorded["t"], lq_pm1)
    if term == "mse":
        loss = per_sample(recorded["z_gt"], x_0).mean()
    else:
        loss = per_sample(autoencoder.decode(x_0).clamp(-1, 1), gt_pm1).mean()
    norms = gradient_norms(teacher, loss, list(expected))

    assert norms == pytest.approx(expected, rel=1e-4)
