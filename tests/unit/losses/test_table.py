"""The sweep over LOSSES: what every term of distillation must do (style 3.4)."""

import copy

import pytest
import torch
from torch import nn

from hfdiff.core import fetch
from hfdiff.losses import perceptual
from hfdiff.losses.table import LOSSES, FrozenNets
from hfdiff.nn.features import VGG16, Lpips, Trunk
from support import fill_by_recipe
from toy_student import Toy


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Feature networks with weights that follow from their names, as if they were stored."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    fetch.adopt("vgg16", fill_by_recipe(Trunk(VGG16)).state_dict(), "the recipe")
    nets = FrozenNets(torch.device("cpu"), lpips_stages=2)
    yield nets
    patch.undo()


@pytest.fixture(params=LOSSES)
def loss(request, frozen):
    return LOSSES[request.param](frozen)


def test_every_loss_is_a_finite_float32_scalar_that_is_not_negative(loss):
    value = loss(Toy().inputs())

    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert value >= 0


@pytest.mark.parametrize("branch", ["distill", "consistency"])
def test_the_gradient_of_every_loss_reaches_the_student_and_nothing_frozen(loss, frozen, branch):
    toy = Toy()

    loss(toy.inputs(branch)).backward()

    reached = [number.grad for number in (toy.forward, toy.inverse) if number.grad is not None]
    assert reached
    assert all(torch.isfinite(gradient) and gradient != 0 for gradient in reached)
    assert toy.teacher.grad is None
    assert toy.decoder.grad is None
    assert all(p.grad is None for net in frozen.loaded() for p in net.parameters())


def test_every_loss_is_the_mean_over_the_batch(loss):
    toy = Toy()
    whole = loss(toy.inputs()).item()
    tensors = {name: getattr(toy, name) for name in ("gt_pm1", "x_0_gt", "y", "x_T")}

    singles = []
    for k in range(2):
        part = copy.copy(toy)
        for name, tensor in tensors.items():
            setattr(part, name, tensor[k : k + 1])
        singles.append(loss(part.inputs()).item())

    assert whole == pytest.approx(sum(singles) / 2, rel=1e-5)


def test_feature_networks_are_loaded_when_a_term_asks_and_not_before(frozen):
    fresh = FrozenNets(torch.device("cpu"), lpips_stages=2)
    assert fresh.loaded() == []

    for name in ("distill", "inv", "cov", "con", "l1"):
        LOSSES[name](fresh)
    assert fresh.loaded() == []

    LOSSES["lpips"](fresh)
    assert [type(net) for net in fresh.loaded()] == [Lpips]
    assert LOSSES["lpips"](fresh)
    assert len(fresh.loaded()) == 1


def test_feature_networks_are_frozen_from_the_start(frozen):
    for net in (frozen.vgg, frozen.lpips):
        assert isinstance(net, nn.Module)
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())


def test_named_networks_have_the_stages_that_were_asked_for(frozen):
    assert len(frozen.vgg.stages) == perceptual.VGG_STAGES
    assert len(frozen.lpips.heads) == 2
