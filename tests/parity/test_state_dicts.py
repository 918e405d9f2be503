"""Keys and shapes of the published sizes against official_state_dicts.json."""

import json

import pytest
import torch

from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from small_networks import SMALL_UNETS
from support import reference

pytestmark = pytest.mark.parity


def official(kind: str) -> dict:
    return json.loads(reference("official_state_dicts.json").read_text())[kind]


def shapes_of(network: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(tensor.shape) for key, tensor in network.state_dict().items()}


def test_the_published_unet_has_exactly_the_published_parameters():
    recorded = official("unet")
    with torch.device("meta"):
        network = SwinUNet(SwinUNetConfig())

    constants = set(recorded["buffer_keys"])
    expected = {
        key: shape for key, (shape, _) in recorded["tensors"].items() if key not in constants
    }
    assert shapes_of(network) == expected
    assert sum(p.numel() for p in network.parameters()) == recorded["parameters_total"]


def test_the_published_autoencoder_has_exactly_the_published_tensors():
    recorded = official("autoencoder")
    with torch.device("meta"):
        network = VQAutoencoder(VQAutoencoderConfig())

    expected = {key: shape for key, (shape, _) in recorded["tensors"].items()}
    assert shapes_of(network) == expected
    assert len(expected) == 205
    assert sum(p.numel() for p in network.parameters()) == recorded["parameters_total"]


def test_a_published_state_dict_with_its_constants_loads_strictly():
    """All 564 keys, 24 constants among them, are accepted as they are."""
    recorded = official("unet")["tensors"]
    state = {key: torch.empty(shape, device="meta") for key, (shape, _) in recorded.items()}
    with torch.device("meta"):
        network = SwinUNet(SwinUNetConfig())

    result = network.load_state_dict(state, strict=True, assign=True)

    assert len(state) == 564
    assert not result.missing_keys
    assert not result.unexpected_keys


@pytest.mark.parametrize("name", SMALL_UNETS)
def test_constants_of_another_size_do_not_stand_in_the_way(name):
    network = SwinUNet(SMALL_UNETS[name])
    state = network.state_dict()
    state |= {
        key.replace("relative_position_bias_table", "relative_position_index"): torch.zeros(2, 2)
        for key in state
        if key.endswith("relative_position_bias_table")
    }
    state["middle_block.1.blocks.0.attn_mask"] = torch.zeros(3, 3)

    network.load_state_dict(state, strict=True)

    index = network.middle_block[1].blocks[0].attn.relative_position_index
    assert index.numel() > 4
