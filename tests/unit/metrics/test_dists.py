import pytest
import torch

from hfdiff.core import fetch
from hfdiff.core.errors import ImageError
from hfdiff.metrics.dists import Dists, dists, l2_pool, load_dists
from hfdiff.nn.features import VGG16, Trunk
from scenes import gt_of, sr_of
from support import fill_by_recipe, picture


@pytest.fixture(scope="module")
def network():
    """DISTS on recipe weights; alpha and beta positive, as published."""
    network = fill_by_recipe(Dists(Trunk(VGG16, pool=l2_pool)))
    network.alpha.abs_()
    network.beta.abs_()
    return network


def crops(picture_01):
    return picture_01[..., 20:68, 10:74]


def test_equal_pictures_have_distance_zero(network):
    x = crops(gt_of("waves"))

    assert dists(network, x, x.clone()).item() == pytest.approx(0, abs=1e-6)


def test_dists_is_symmetric_and_positive(network):
    a, b = crops(sr_of("bricks")), crops(gt_of("bricks"))

    value = dists(network, a, b)

    assert value.item() > 0
    torch.testing.assert_close(value, dists(network, b, a))


def test_a_mirrored_picture_has_another_structure(network):
    x = crops(gt_of("bricks"))

    assert dists(network, x, x.flip(3)).item() > 0.01


def test_pooling_is_the_root_of_weighted_squares():
    x = picture("pool", (1, 2, 5, 6))
    side = torch.tensor([0.25, 0.5, 0.25])
    squares = torch.nn.functional.pad(x.square(), (1, 1, 1, 1))

    expected = (squares[0, 1, 2:5, 4:7] * side[:, None] * side).sum().sqrt()

    pooled = l2_pool(x)
    assert pooled.shape == (1, 2, 3, 3)
    torch.testing.assert_close(pooled[0, 1, 1, 2], expected)


def test_loading_puts_alpha_and_beta_of_the_package_beside_the_stored_trunk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetch.adopt("vgg16", fill_by_recipe(Trunk(VGG16)).state_dict(), "recipe")

    network = load_dists()

    assert float(network.alpha.sum() + network.beta.sum()) == pytest.approx(1, abs=1e-4)
    assert not any(p.requires_grad for p in network.parameters())


def test_a_side_that_vanishes_in_the_network_is_refused(network):
    small = torch.zeros(1, 3, 15, 40)

    with pytest.raises(ImageError, match="dists needs sides of at least 16, got 40x15"):
        dists(network, small, small)
