import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.metrics.lpips import LEAST_SIDE, lpips
from hfdiff.nn.features import ALEXNET, VGG16, Lpips
from scenes import gt_of, sr_of
from support import fill_by_recipe


@pytest.fixture(scope="module", params=[ALEXNET, VGG16], ids=lambda config: config.name)
def network(request):
    network = fill_by_recipe(Lpips(request.param))
    for head in network.heads:
        head.abs_()
    return network


def test_pictures_reach_the_network_as_minus_one_to_one(network):
    sr, gt = sr_of("waves")[..., :40, :40], gt_of("waves")[..., :40, :40]

    torch.testing.assert_close(lpips(network, sr, gt), network(sr * 2 - 1, gt * 2 - 1))


def test_the_least_side_is_enough_for_every_stage(network):
    sr, gt = (p[..., :LEAST_SIDE, :LEAST_SIDE] for p in (sr_of("waves"), gt_of("waves")))

    assert torch.isfinite(lpips(network, sr, gt)).all()


def test_a_shorter_side_is_refused(network):
    small = torch.zeros(1, 3, 30, 64)

    with pytest.raises(ImageError, match="lpips needs sides of at least 31, got 64x30"):
        lpips(network, small, small)
