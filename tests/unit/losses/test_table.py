"""The sweep over LOSSES: what every term of distillation must do (style 3.4)."""

import copy

import pytest
import torch
from torch import nn

from backbones import small_backbone
from hfdiff.core import fetch
from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.losses import perceptual
from hfdiff.losses.feature_settings import FeatureSettings
from hfdiff.losses.high_frequency import hf
from hfdiff.losses.jensen_shannon import JensenShannonConfig
from hfdiff.losses.table import LOSSES, FrozenNets
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.features import VGG16, Lpips, Trunk
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe
from toy_student import Toy


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Feature networks with weights that follow from their names, as if they were stored."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    fetch.adopt("vgg16", fill_by_recipe(Trunk(VGG16)).state_dict(), "the recipe")
    nets = FrozenNets(
        torch.device("cpu"),
        lpips_stages=2,
        features=FeatureSettings(extractor="small", hf_backward="reconstruct"),
        read_extractor=small_extractor,
    )
    nets.dino = small_backbone()
    yield nets
    patch.undo()


def small_extractor(name: str) -> Extractor:
    """What a model file named ``small`` would hold."""
    assert name == "small"
    config = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))
    return fill_by_recipe(Extractor(config)).requires_grad_(True)


OF_THE_DECODER = {"anchor"}  # its gradient is a learning decoder's alone


@pytest.fixture(params=LOSSES)
def loss(request, frozen):
    return LOSSES[request.param](frozen)


@pytest.fixture(params=[name for name in LOSSES if name not in OF_THE_DECODER])
def student_loss(request, frozen):
    return LOSSES[request.param](frozen)


def test_every_loss_is_a_finite_float32_scalar_that_is_not_negative(loss):
    value = loss(Toy().inputs())

    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert value >= 0


@pytest.mark.parametrize("branch", ["distill", "consistency"])
def test_the_gradient_of_every_loss_reaches_the_student_and_nothing_frozen(
    student_loss, frozen, branch
):
    toy = Toy()

    student_loss(toy.inputs(branch)).backward()

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


def test_every_loss_is_the_same_in_chunks(student_loss):
    values, gradients = [], []
    for chunk in (0, 1):
        toy = Toy()
        values.append(student_loss(toy.inputs(chunk=chunk)))
        values[-1].backward()
        gradients.append([number.grad for number in (toy.forward, toy.inverse)])

    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-8)


def test_a_distribution_over_the_batch_is_not_cut_into_chunks(frozen):
    features = FeatureSettings(extractor="small", js=JensenShannonConfig(way="batch_relation"))
    nets = FrozenNets(torch.device("cpu"), features=features)
    nets.dino = frozen.dino
    term = LOSSES["js_dino"](nets)

    assert term(Toy().inputs(chunk=1)) == term(Toy().inputs()) > 0


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
    for net in (frozen.vgg, frozen.lpips, frozen.extractor, frozen.dino):
        assert isinstance(net, nn.Module)
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())


def test_named_networks_have_the_stages_that_were_asked_for(frozen):
    assert len(frozen.vgg.stages) == perceptual.VGG_STAGES
    assert len(frozen.lpips.heads) == 2


def test_the_extractor_goes_backward_as_it_was_asked_to(frozen):
    assert frozen.extractor.invertible.backward_form == "reconstruct"


def test_an_extractor_that_rebuilds_its_states_stays_in_float32_in_a_run_of_bfloat16(frozen):
    def reduced(form):
        nets = FrozenNets(
            torch.device("cpu"),
            dtype=torch.bfloat16,
            features=FeatureSettings(extractor="small", hf_backward=form),
            read_extractor=small_extractor,
        )
        return LOSSES["hf"](nets)(Toy().inputs())

    exact = LOSSES["hf"](frozen)(Toy().inputs())

    assert reduced("reconstruct") == exact
    assert reduced("ordinary") != exact


def test_the_extractor_sees_pictures_in_as_many_poses_as_asked_for(frozen):
    features = FeatureSettings(extractor="small", hf_poses=2)
    nets = FrozenNets(torch.device("cpu"), features=features, read_extractor=small_extractor)
    inputs = Toy().inputs()

    expected = hf(nets.extractor, inputs.sr_pm1, inputs.gt_pm1, poses=2)

    assert LOSSES["hf"](nets)(inputs) == expected
    assert LOSSES["hf"](frozen)(inputs) != expected


def test_a_term_without_its_network_is_refused_before_anything_is_computed():
    fresh = FrozenNets(torch.device("cpu"))

    with pytest.raises(SettingsError, match=r"hf needs .*: set features\.extractor"):
        LOSSES["hf"](fresh)
    with pytest.raises(SettingsError, match="js_dino needs a network"):
        LOSSES["js_dino"](fresh)
    with pytest.raises(CheckpointError, match=r"no DINOv2 weights at nowhere\.pth"):
        LOSSES["js_dino"](
            FrozenNets(torch.device("cpu"), features=FeatureSettings(dino="nowhere.pth"))
        )


def test_the_networks_in_use_say_where_they_are_from_and_under_which_terms(frozen):
    for name in ("vgg", "lpips", "extractor", "dino"):
        getattr(frozen, name)

    origins = frozen.origins()

    assert origins["vgg"] == "vgg16; torchvision's ImageNet weights (BSD-3-Clause)"
    assert origins["lpips"] == origins["vgg"]
    assert origins["dino"] == "a test"
    assert origins["extractor"].startswith("content hash ")
    assert FrozenNets(torch.device("cpu")).origins() == {}
