import math

import pytest
import torch

from hfdiff.metrics.protocols import PROTOCOLS, as_saved
from hfdiff.metrics.psnr import psnr_y
from hfdiff.metrics.table import METRICS
from scenes import gt_of


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_made_of_known_metrics_and_knows_its_name(name):
    assert PROTOCOLS[name].name == name
    assert set(PROTOCOLS[name].metrics) <= set(METRICS)


def test_a_tensor_is_measured_as_the_file_it_would_become():
    gt = gt_of("waves") * 0.9 + 0.05
    almost = gt + 0.2 / 255

    assert as_saved(gt).mul(255).frac().abs().max() < 1e-4
    assert 55 < psnr_y(almost, gt).item() < 70
    assert psnr_y(as_saved(gt_of("waves")), gt_of("waves")).item() == math.inf


def test_values_outside_the_range_are_clamped():
    saved = as_saved(torch.tensor([-0.5, 1.7]).view(1, 1, 1, 2))

    assert saved.flatten().tolist() == [0, 1]
