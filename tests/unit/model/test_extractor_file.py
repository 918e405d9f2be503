import json
import math

import pytest
import torch

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weights import read_weights, write_weights
from hfdiff.model.extractor_file import describe_extractor, load_extractor, save_extractor
from hfdiff.model.find import find_model
from hfdiff.model.model_file import ModelCard, describe
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe, picture

CARD = ModelCard(name="small H", licence="Apache-2.0", training={"iterations": 3})


@pytest.fixture
def extractor():
    config = InvertibleConfig(width=8, modules=2, mix="conv1x1", log_scale_bound=math.inf)
    network = fill_by_recipe(Extractor(ExtractorConfig(invertible=config)))
    network.channel_std.mul_(3.0)
    return network


@pytest.mark.parametrize("name", ["h.safetensors", "folder"])
def test_an_extractor_comes_back_as_it_was_with_its_spread(tmp_path, extractor, name):
    written = save_extractor(tmp_path / name, extractor, CARD)

    loaded, description = load_extractor(tmp_path / name)

    x = picture("x", (1, 3, 8, 8))
    assert torch.equal(loaded(x), extractor(x))
    assert torch.equal(loaded.channel_std, torch.full((8,), 3.0))
    assert description == written
    assert description.config == extractor.config
    assert description.card == CARD


def test_a_loaded_extractor_is_frozen(tmp_path, extractor):
    save_extractor(tmp_path / "h.safetensors", extractor, CARD)

    loaded, _ = load_extractor(tmp_path / "h.safetensors")

    assert not loaded.training
    assert all(not p.requires_grad for p in loaded.parameters())


def test_the_head_of_pretraining_is_no_part_of_the_file(tmp_path, extractor):
    save_extractor(tmp_path / "folder", extractor, CARD)

    document = json.loads((tmp_path / "folder" / "config.json").read_text())

    assert document["kind"] == "extractor"
    assert set(document["config"]) == {"kind", "invertible", "picture_range"}


def test_a_model_is_no_extractor():
    with pytest.raises(CheckpointError, match="must hold a feature extractor, it is of kind sr"):
        describe_extractor(find_model("identity"))


def test_an_extractor_cannot_upscale(tmp_path, extractor):
    save_extractor(tmp_path / "h.safetensors", extractor, CARD)

    with pytest.raises(CheckpointError, match="holds a feature extractor and cannot upscale"):
        describe(tmp_path / "h.safetensors")


def test_a_damaged_extractor_is_refused(tmp_path, extractor):
    save_extractor(tmp_path / "folder", extractor, CARD)
    path = tmp_path / "folder" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="are damaged"):
        load_extractor(tmp_path / "folder")


def test_a_description_with_an_unknown_key_is_refused(tmp_path, extractor):
    save_extractor(tmp_path / "h.safetensors", extractor, CARD)

    tensors, metadata = read_weights(tmp_path / "h.safetensors")
    document = json.loads(metadata["hfdiff"])
    document["config"]["invertible"]["moduls"] = 3
    write_weights(tmp_path / "h.safetensors", tensors, {"hfdiff": json.dumps(document)})

    with pytest.raises(CheckpointError, match=r"unknown key config\.invertible\.moduls"):
        describe_extractor(tmp_path / "h.safetensors")


def test_sizes_that_cannot_be_built_are_one_sentence(tmp_path, extractor):
    save_extractor(tmp_path / "h.safetensors", extractor, CARD)
    tensors, metadata = read_weights(tmp_path / "h.safetensors")
    document = json.loads(metadata["hfdiff"])
    document["config"]["invertible"]["width"] = 2**40
    write_weights(tmp_path / "h.safetensors", tensors, {"hfdiff": json.dumps(document)})

    with pytest.raises(CheckpointError, match="its networks cannot be built"):
        load_extractor(tmp_path / "h.safetensors")
