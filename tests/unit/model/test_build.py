"""From a configuration to networks: every family, ready for inference."""

import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.model.build import build_model
from small_models import SMALL, small_model


@pytest.mark.parametrize("name", SMALL)
def test_a_model_is_built_frozen_and_in_evaluation_mode(name):
    model = build_model(SMALL[name])

    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.scale == SMALL[name].scale


@pytest.mark.parametrize("name", SMALL)
def test_every_codec_keeps_the_contract_of_shapes(name):
    """encode_lq, encode_gt and decode meet on the lq's grid (spec 3.2)."""
    model = small_model(name)
    lq = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    gt = lq.repeat_interleave(model.scale, -1).repeat_interleave(model.scale, -2)

    y, x_0 = model.encode_lq(lq), model.encode_gt(gt)

    assert y.shape == x_0.shape == (2, model.latent_channels, 12, 8)
    assert model.decode(x_0, lq).shape == gt.shape


@pytest.mark.parametrize("name", [n for n, c in SMALL.items() if c.network is not None])
def test_every_model_enlarges_by_its_scale(name):
    model = small_model(name)
    lq = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1

    sr = model(lq, noise=lambda draw, like: torch.ones_like(like))

    assert sr.shape == (1, 3, 8 * model.scale, 12 * model.scale)
    assert torch.isfinite(sr).all()


@pytest.mark.parametrize("name", ["base autoencoder", "lite autoencoder"])
def test_an_autoencoder_alone_refuses_to_sample(name):
    model = small_model(name)
    lq = torch.zeros(1, 3, 8, 8)

    with pytest.raises(SettingsError, match="holds an autoencoder only and cannot upscale"):
        model(lq, noise=lambda draw, like: torch.zeros_like(like))


def test_a_teacher_takes_any_number_of_steps_up_to_its_schedule():
    model = small_model("base teacher")
    lq = torch.zeros(1, 3, 8, 8)
    steps = model.config.schedule.steps

    for number in range(1, steps + 1):
        assert model(lq, noise=lambda draw, like: torch.zeros_like(like), steps=number) is not None
    with pytest.raises(SettingsError, match=f"this model takes 1 to {steps} steps, got 5"):
        model.check_steps(steps + 1)
    with pytest.raises(SettingsError, match=f"this model takes 1 to {steps} steps, got 0"):
        model.check_steps(0)


def test_a_student_takes_one_step():
    with pytest.raises(SettingsError, match="this model takes one step only, got 2"):
        small_model("base student").check_steps(2)
