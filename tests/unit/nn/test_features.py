import pytest
import torch
import torch.nn.functional as F

from hfdiff.core import fetch
from hfdiff.core.errors import CheckpointError
from hfdiff.nn import pretrained
from hfdiff.nn.features import ALEXNET, VGG16, Lpips, Trunk, imagenet_normalised, unit_features
from support import fill_by_recipe, picture


@pytest.fixture
def lpips():
    """LPIPS on two stages of VGG16 with recipe weights and non-negative heads, as published."""
    network = fill_by_recipe(Lpips(VGG16, stages=2))
    for head in network.heads:
        head.abs_()
    return network


@pytest.mark.parametrize(("config", "parameters"), [(VGG16, 14_714_688), (ALEXNET, 2_469_696)])
def test_a_trunk_has_the_convolutions_of_the_published_classifier(config, parameters):
    trunk = Trunk(config)

    assert sum(p.numel() for p in trunk.parameters()) == parameters
    layers = {int(key.split(".")[1]) for key in trunk.state_dict()}
    assert sorted(layers) == sorted(fetch.WEIGHTS[config.name].layers)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (VGG16, [(64, 64, 80), (128, 32, 40), (256, 16, 20), (512, 8, 10), (512, 4, 5)]),
        (ALEXNET, [(64, 15, 19), (192, 7, 9), (384, 3, 4), (256, 3, 4), (256, 3, 4)]),
    ],
)
def test_taps_have_the_published_widths_and_sizes(config, shapes):
    taps = Trunk(config)(torch.zeros(1, 3, 64, 80))

    assert [tuple(tap.shape[1:]) for tap in taps] == shapes


def test_the_first_stages_alone_give_the_same_taps():
    whole = fill_by_recipe(Trunk(ALEXNET))
    part = Trunk(ALEXNET, stages=2)
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    x = picture("features", (2, 3, 64, 64))

    taps = part(x)

    assert len(taps) == 2
    for tap, same in zip(taps, whole(x), strict=False):
        torch.testing.assert_close(tap, same, atol=0, rtol=0)


def test_every_tap_is_a_chain_of_convolutions_rectified_and_pooled():
    trunk = fill_by_recipe(Trunk(VGG16, stages=2))
    x = picture("features", (1, 3, 16, 16))

    expected = x
    for layer in (0, 2):
        expected = F.relu(trunk.features[str(layer)](expected))
    expected = F.max_pool2d(expected, 2)
    for layer in (5, 7):
        expected = F.relu(trunk.features[str(layer)](expected))

    torch.testing.assert_close(trunk(x)[1], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("stages", [0, 6])
def test_a_trunk_has_between_one_and_five_stages(stages):
    with pytest.raises(ValueError, match=f"stages must be between 1 and 5, got {stages}"):
        Trunk(VGG16, stages=stages)


def test_lpips_of_equal_pictures_is_zero(lpips):
    x = picture("a", (2, 3, 32, 32))

    assert torch.equal(lpips(x, x.clone()), torch.zeros(2))


def test_lpips_is_symmetric_and_positive(lpips):
    a, b = picture("a", (2, 3, 32, 32)), picture("b", (2, 3, 32, 32))

    torch.testing.assert_close(lpips(a, b), lpips(b, a))
    assert (lpips(a, b) > 0).all()


def test_lpips_of_a_batch_is_that_of_its_pictures(lpips):
    a, b = picture("a", (3, 3, 32, 32)), picture("b", (3, 3, 32, 32))

    singles = torch.cat([lpips(a[i : i + 1], b[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(lpips(a, b), singles)


def test_lpips_is_computed_in_float32_under_autocast(lpips):
    a, b = picture("a", (1, 3, 32, 32)), picture("b", (1, 3, 32, 32))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = lpips(a, b)

    assert torch.equal(inside, lpips(a, b))


def test_lpips_sends_its_gradient_to_the_first_picture_only(lpips):
    a = picture("a", (1, 3, 32, 32)).requires_grad_()
    b = picture("b", (1, 3, 32, 32)).requires_grad_()

    lpips(a, b).sum().backward()

    assert a.grad is not None
    assert a.grad.abs().max() > 0
    assert b.grad is None
    assert all(p.grad is None and not p.requires_grad for p in lpips.parameters())


def test_features_that_are_all_zero_have_a_finite_gradient():
    tap = torch.zeros(1, 4, 2, 2, requires_grad=True)

    unit_features(tap).sum().backward()

    assert torch.isfinite(tap.grad).all()


def test_unit_features_have_length_one_at_every_position():
    tap = picture("a", (2, 8, 4, 4))

    lengths = unit_features(tap).square().sum(1)

    torch.testing.assert_close(lengths, torch.ones(2, 4, 4))


def test_imagenets_mean_becomes_zero_and_one_deviation_more_becomes_one():
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    torch.testing.assert_close(imagenet_normalised(mean), torch.zeros(1, 3, 1, 1))
    torch.testing.assert_close(imagenet_normalised(mean + deviation), torch.ones(1, 3, 1, 1))


def test_loading_puts_stored_weights_and_boxed_heads_into_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole = fill_by_recipe(Trunk(ALEXNET))
    fetch.adopt("alexnet", whole.state_dict(), "recipe")

    network = pretrained.load_lpips(ALEXNET, stages=3)

    kept = whole.state_dict()["features.6.weight"]
    assert torch.equal(network.trunk.features["6"].weight, kept)
    assert [len(head) for head in network.heads] == [64, 192, 384]
    assert all((head >= 0).all() and head.sum() > 0 for head in network.heads)


def test_loading_without_stored_weights_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(CheckpointError, match="weights vgg16 are not on this machine") as caught:
        pretrained.load_trunk(VGG16)

    assert "hfdiff weights get vgg16" in caught.value.hint
