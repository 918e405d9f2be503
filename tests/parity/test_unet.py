"""Our denoising network against recorded outputs of the published code (unet_*.npz)."""

import json

import numpy as np
import pytest
import torch

from hfdiff.nn.swin import published_shift_mask, relative_position_index
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from small_networks import SMALL_UNETS
from support import fill_by_recipe, normal, reference

pytestmark = pytest.mark.parity

# Measured float32 noise of the published code is 3e-6 to 5e-6.
NOISE = {"atol": 3e-5, "rtol": 0}

CASES = [
    "small_a_same",
    "small_a_rect",
    "small_a_lqlow",
    "small_b_lqhigh",
    "small_c_same",
    "small_c_rect",
    "small_d_extract",
]


@pytest.mark.parametrize("case", CASES)
def test_small_networks_give_the_recorded_output(case):
    recorded = np.load(reference("unet_small.npz"))
    network = fill_by_recipe(SwinUNet(SMALL_UNETS[case[:7]]))
    x = normal(f"unet_{case}/x", recorded[f"{case}/x"].shape)
    lq = normal(f"unet_{case}/lq", recorded[f"{case}/lq"].shape)

    y = network(x, torch.from_numpy(recorded[f"{case}/t"]), lq)

    torch.testing.assert_close(y, torch.from_numpy(recorded[f"{case}/y"]), **NOISE)


@pytest.fixture(scope="module")
def official() -> SwinUNet:
    return fill_by_recipe(SwinUNet(SwinUNetConfig()))


@pytest.mark.parametrize(("t", "name"), [(14, "y"), (0, "y_t0")])
def test_the_published_size_gives_the_recorded_output(official, t, name):
    recorded = np.load(reference("unet_official.npz"))
    x = normal("unet_official/x", (1, 3, 64, 64))
    lq = normal("unet_official/lq", (1, 3, 64, 64))

    y = official(x, torch.tensor([t]), lq)

    torch.testing.assert_close(y, torch.from_numpy(recorded[name]), **NOISE)


@pytest.mark.parametrize("side", [64, 32, 16])
def test_the_shift_mask_is_the_recorded_one(side):
    recorded = np.load(reference("unet_official.npz"))[f"buffers/attn_mask_{side}x{side}"]
    windows = side // 8

    ours = torch.zeros(windows, windows, 64, 64)
    ours[-1] = published_shift_mask(8, 4)

    assert torch.equal(ours.flatten(0, 1), torch.from_numpy(recorded))


def test_the_relative_index_is_the_recorded_one():
    recorded = np.load(reference("unet_official.npz"))["buffers/relative_position_index_ws8"]

    assert torch.equal(relative_position_index(8), torch.from_numpy(recorded).long())


@pytest.mark.parametrize("name", SMALL_UNETS)
def test_small_networks_have_the_recorded_keys_and_shapes(name):
    recorded = json.loads(reference("small_networks.json").read_text())["unet"][name]

    state = SwinUNet(SMALL_UNETS[name]).state_dict()

    constants = ("attn_mask", "relative_position_index")
    expected = {
        key: shape
        for key, (shape, _) in recorded["state_dict"].items()
        if not key.endswith(constants)
    }
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected
    assert sum(tensor.numel() for tensor in state.values()) == recorded["parameters_total"]
