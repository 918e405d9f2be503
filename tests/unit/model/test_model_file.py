"""The model file: describes itself, comes back equal, and is refused where anything is off."""

import json
import random

import pytest
import torch
from safetensors.torch import save_file

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weight_notes import read_metadata
from hfdiff.core.weights import content_hash, read_weights, write_weights
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.find import bundled_models
from hfdiff.model.model_file import describe, load_model, save_model
from hfdiff.nn.lite import LiteCodecConfig
from small_models import CARD, SMALL, small_model


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "small.safetensors"
    save_model(file, small_model("lite student"), CARD)
    return file


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.hint


def rewritten(path, change):
    """The file with another description; its weights and their hash stay."""
    tensors, metadata = read_weights(path)
    document = json.loads(metadata["hfdiff"])
    change(document)
    write_weights(path, tensors, {"hfdiff": json.dumps(document)})
    return path


@pytest.mark.parametrize("form", ["small.safetensors", "folder"])
@pytest.mark.parametrize("name", SMALL)
def test_every_family_comes_back_equal_in_both_forms(tmp_path, name, form):
    model = small_model(name)

    written = save_model(tmp_path / "deep" / form, model, CARD)

    loaded, description = load_model(tmp_path / "deep" / form)
    assert description == written
    assert description.config == loaded.config == SMALL[name]
    assert description.card == CARD
    tensors = loaded.state_dict()
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(tensors[key], t) for key, t in model.state_dict().items())
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("base student", "sr"),
        ("base teacher", "teacher"),
        ("lite autoencoder", "autoencoder"),
        ("identity", "sr"),
    ],
)
def test_the_file_says_what_kind_it_is(tmp_path, name, kind):
    save_model(tmp_path / "a.safetensors", small_model(name), CARD)

    assert describe(tmp_path / "a.safetensors").kind == kind


def test_the_description_is_one_json_document_with_everything(path):
    document = json.loads(read_metadata(path)["hfdiff"])

    assert document["format"] == 1
    assert document["config"]["network"]["kind"] == "lite_denoiser"
    assert document["config"]["schedule"]["steps"] == 15
    assert document["config"]["scale"] == 4
    assert document["card"]["licence"] == "Apache-2.0"
    assert document["content_hash"] == content_hash(read_weights(path)[0])
    assert document["package"]


def test_a_folder_has_the_layout_of_the_hub(tmp_path):
    save_model(tmp_path / "folder", small_model("identity"), CARD)

    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["card"]["name"] == "small"


def test_a_folder_whose_weights_lost_their_description_reads_config_json(tmp_path):
    """As other tools rewrite .safetensors files."""
    folder = tmp_path / "folder"
    save_model(folder, small_model("lite student"), CARD)
    tensors, _ = read_weights(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors")

    model, description = load_model(folder)

    assert description.card == CARD
    assert model.config == SMALL["lite student"]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_model(tmp_path / name, small_model("lite student"), CARD)

    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_half_weights_are_read_as_float32(tmp_path):
    """Shipped files are half the size; networks compute in float32 unless asked otherwise."""
    whole = small_model("lite student")
    expected = {key: t.half().float() for key, t in whole.state_dict().items()}
    save_model(tmp_path / "a.safetensors", whole.half(), CARD)

    model, _ = load_model(tmp_path / "a.safetensors")

    for key, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[key])
    tensors, _ = read_weights(tmp_path / "a.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())


def test_reading_a_description_needs_no_weights(path):
    """A damaged tensor is found by loading, not by looking."""
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)

    assert describe(path).card == CARD
    assert "are damaged: their hash is not the stated one" in refusal(path)[0]


def test_any_flipped_bit_of_the_weights_is_noticed(path):
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    rng = random.Random(0)

    for _ in range(20):
        place = rng.randrange(begin * 8, len(whole) * 8)
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert "are damaged" in refusal(path)[0]


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_another_version_of_the_format_is_named(path, version):
    message, hint = refusal(rewritten(path, lambda d: d.update(format=version)))

    assert f"has the model file format {version!r}, this hfdiff reads 1" in message
    assert hint == "install the hfdiff that wrote it, or a newer one"


def _set(*keys, value):
    def change(document):
        place = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("keys", "value", "message", "hint"),
    [
        (("config", "network", "widht"), 3, "unknown key config.network.widht", "width"),
        (("config", "codec", "blcoks"), 3, "unknown key config.codec.blcoks", "blocks"),
        (("config", "schedule", "kapa"), 3, "unknown key config.schedule.kapa", "kappa"),
        (("config", "tiles"), 3, "unknown key config.tiles", "tile"),
        (("card", "license"), "x", "unknown key card.license", "licence"),
        (("licence",), "x", "unknown key licence", None),
        (("config", "network", "kind"), "unet", "config.network: ", None),
        (("config", "network", "width"), "8", "width: expected a number, got '8'", None),
        (("config", "schedule", "kappa"), -1, "kappa and power must be positive", None),
        (("config", "scale"), 3, "scale 3 needs a codec of that factor, got 4", None),
        (("config", "network", "width"), 10**7, "its networks cannot be built: ", None),
        (("kind",), "picture", "kind: Input should be 'sr', 'autoencoder'", None),
    ],
)
def test_a_description_that_does_not_fit_names_the_key(path, keys, value, message, hint):
    got, got_hint = refusal(rewritten(path, _set(*keys, value=value)))

    assert message in got
    assert str(path) in got
    if hint is not None:
        assert got_hint == f"did you mean {hint}?"


@pytest.mark.parametrize("key", ["config", "card", "kind", "content_hash"])
def test_a_missing_part_of_the_description_is_named(path, key):
    message, _ = refusal(rewritten(path, lambda d: d.pop(key)))

    assert f"{key}: " in message


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "the description is not JSON"), ("[]", "the description is not a JSON object")],
)
def test_a_description_that_is_no_document_is_refused(path, text, message):
    tensors, _ = read_weights(path)
    write_weights(path, tensors, {"hfdiff": text})

    assert message in refusal(path)[0]


def test_a_safetensors_file_of_something_else_is_said_to_be_no_model(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "a.safetensors")

    assert "is a .safetensors file but no hfdiff model" in refusal(tmp_path / "a.safetensors")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("network.leave.bias"), "lacks the tensors network.leave.bias"),
        (
            lambda t: t.update(stray=torch.zeros(1)),
            "has tensors that nothing uses: stray",
        ),
        (
            lambda t: t.update({"network.leave.bias": torch.zeros(5)}),
            "network.leave.bias must have the shape [4], got [5]",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_description_are_named(path, change, message):
    """With a hash that is right for them."""
    tensors, metadata = read_weights(path)
    change(tensors)
    document = json.loads(metadata["hfdiff"]) | {"content_hash": content_hash(tensors)}
    write_weights(path, tensors, {"hfdiff": json.dumps(document)})

    assert message in refusal(path)[0]


def test_an_empty_folder_is_no_model(tmp_path):
    assert "model.safetensors does not exist" in refusal(tmp_path)[0]


@pytest.mark.parametrize("name", bundled_models())
def test_the_models_in_the_box_load_and_name_their_licence(name):
    model, description = load_model(bundled_models()[name])

    assert description.card.name == name
    assert description.card.licence
    assert description.card.limits
    assert build_model(description.config).state_dict().keys() == model.state_dict().keys()


def test_a_half_file_takes_half_the_room_and_is_float32_again(tmp_path):
    model = build_model(ModelConfig(codec=LiteCodecConfig(), role="codec"))

    save_model(tmp_path / "whole.safetensors", model, CARD)
    save_model(tmp_path / "half.safetensors", model, CARD, half=True)

    read, _ = load_model(tmp_path / "half.safetensors")
    for key, tensor in read.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, model.state_dict()[key], atol=1e-6, rtol=1e-3)
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole
