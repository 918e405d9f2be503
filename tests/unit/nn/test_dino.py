"""DINOv2 in every layout, and how pictures become its input. Weights here are random."""

import re

import pytest
import torch

from backbones import POSITIONS, WIDTH, small_backbone, vits14
from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.nn import dino
from hfdiff.nn.dino import Backbone, PreparationConfig, dinov2, dinov2_name, prepared
from hfdiff.nn.dino_layouts import facts_of, hub_layout, like_installed
from support import normal, picture


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return vits14()


@pytest.fixture(scope="module")
def tokens(weights):
    return seen(weights)


def seen(tensors):
    with torch.no_grad():
        return dinov2(tensors, "a test")(normal("x", (1, 3, 28, 42)))


def in_transformers_5(tensors):
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    hub = hub_layout(tensors)
    renamed = {
        re.sub(r"attention\.attention\.(\w+)", lambda m: f"attention.{names[m[1]]}", key): t
        for key, t in hub.items()
    }
    return {
        key.replace("attention.output.dense", "attention.o_proj"): t for key, t in renamed.items()
    }


@pytest.mark.parametrize(
    "layout",
    [
        hub_layout,
        in_transformers_5,
        lambda tensors: {f"module.backbone.{key}": t for key, t in tensors.items()},
        lambda tensors: {f"dinov2.{key}": t for key, t in hub_layout(tensors).items()},
        lambda tensors: {key: t for key, t in tensors.items() if key != "mask_token"},
        lambda tensors: {key: t.double() for key, t in tensors.items()},
    ],
    ids=["hub", "transformers 5", "prefixes", "hub with prefix", "no mask token", "float64"],
)
def test_every_layout_gives_the_same_tokens(weights, tokens, layout):
    found = seen(layout(weights))

    assert torch.equal(found.cls, tokens.cls)
    assert torch.equal(found.patches, tokens.patches)


def test_there_is_one_token_for_every_patch_of_14_pixels(tokens):
    assert tokens.cls.shape == (1, WIDTH)
    assert tokens.patches.shape == (1, 2 * 3, WIDTH)


def test_the_published_count_of_parameters_is_met(weights):
    network = dinov2(weights, "a test")

    assert sum(p.numel() for p in network.parameters()) == 22_056_576
    assert dinov2_name(network) == "dinov2 vits14"


def test_register_tokens_are_in_the_network_and_not_in_its_answer():
    network = dinov2(vits14(registers=4), "a test")

    with torch.no_grad():
        tokens = network(normal("x", (1, 3, 28, 42)))

    assert tokens.patches.shape == (1, 6, WIDTH)
    assert dinov2_name(network) == "dinov2 vits14 with 4 registers"


def test_building_draws_nothing_from_the_global_generator(weights):
    before = torch.random.get_rng_state()

    dinov2(weights, "a test")

    assert torch.equal(torch.random.get_rng_state(), before)


def test_query_key_and_value_are_the_three_thirds_of_one_matrix(weights):
    whole = weights["blocks.3.attn.qkv.weight"]

    found = hub_layout(weights)

    parts = [
        found[f"encoder.layer.3.attention.attention.{n}.weight"] for n in ("query", "key", "value")
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_the_gated_layer_of_vitg_is_kept_in_one_and_given_in_two():
    """The original and the hub keep both halves in one matrix, the gate first."""
    both = torch.arange(12.0).view(6, 2)
    key = "encoder.layer.0.mlp.{}.weight"
    hub = hub_layout({"blocks.0.mlp.w12.weight": both, "blocks.0.mlp.w3.weight": both})
    expected = dict.fromkeys((key.format("gate_proj"), key.format("up_proj")), both)

    installed = like_installed(hub, expected)

    assert torch.equal(hub[key.format("weights_in")], both)
    assert torch.equal(installed[key.format("gate_proj")], both[:3])
    assert torch.equal(installed[key.format("up_proj")], both[3:])
    assert torch.equal(hub_layout(installed)[key.format("weights_in")], both)


def test_the_sizes_of_vitg_are_read_from_its_shapes():
    tensors = {
        "embeddings.cls_token": torch.empty(1, 1, 1536, device="meta"),
        "embeddings.position_embeddings": torch.empty(1, POSITIONS, 1536, device="meta"),
        "embeddings.patch_embeddings.projection.weight": torch.empty(1, 3, 14, 14, device="meta"),
        **{f"encoder.layer.{k}.norm1.weight": torch.empty(1) for k in range(40)},
    }

    facts = facts_of(tensors, "a test")

    assert facts["use_swiglu_ffn"]
    assert (facts["num_attention_heads"], facts["image_size"]) == (24, 518)


def test_weights_of_something_else_are_refused_in_one_sentence():
    with pytest.raises(
        CheckpointError, match=r"a.pth is no DINOv2 file: it lacks .*cls_token"
    ) as e:
        dinov2({"features.0.weight": torch.ones(1)}, "a.pth")

    assert "holds features.0.weight" in str(e.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k: t for k, t in w.items() if not k.startswith("blocks.11.")}, "its depth 11"),
        (lambda w: {**w, "cls_token": torch.ones(1, 1, 192)}, "its width is 192"),
        (lambda w: {**w, "patch_embed.proj.weight": torch.ones(384, 3, 16, 16)}, "patches 16"),
        (lambda w: {**w, "pos_embed": torch.ones(1, 1371, 384)}, "is no DINOv2 file"),
    ],
)
def test_another_vision_transformer_is_refused_by_its_sizes(weights, change, words):
    with pytest.raises(CheckpointError, match=words):
        dinov2(change(weights), "a test")


def test_a_wrong_shape_is_named(weights):
    wrong = {**weights, "blocks.0.mlp.fc1.bias": torch.ones(7)}

    with pytest.raises(CheckpointError, match=r"layer\.0\.mlp\.fc1\.bias must have the shape"):
        dinov2(wrong, "a test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k: t for k, t in w.items() if "ls1" not in k}, "lacks the tensors .*scale1"),
        (lambda w: {**w, "head.weight": torch.ones(2)}, "tensors that nothing uses: head.weight"),
    ],
)
def test_missing_and_superfluous_tensors_are_named(weights, change, words):
    with pytest.raises(CheckpointError, match=words):
        dinov2(change(weights), "a test")


# Pictures.


def test_pictures_are_resized_whole_to_the_square_bicubic_with_antialias():
    x = (picture("x", (1, 3, 40, 60)) + 1) / 2

    found = prepared(x, PreparationConfig(size=28))

    expected = torch.nn.functional.interpolate(x, (28, 28), mode="bicubic", antialias=True)
    torch.testing.assert_close(found, expected)


def test_a_crop_is_the_middle_of_the_picture_pixel_for_pixel():
    x = picture("x", (1, 3, 40, 61))

    found = prepared(x, PreparationConfig(size=28, fit="crop"))

    assert torch.equal(found, x[..., 6:34, 16:44])


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (27, 28), (1, 1)])
def test_a_crop_of_what_is_too_small_enlarges_it_first(shape):
    x = picture("x", (1, 3, *shape))

    assert prepared(x, PreparationConfig(size=28, fit="crop")).shape == (1, 3, 28, 28)


def test_a_picture_of_the_right_size_is_taken_as_it_is():
    x = picture("x", (1, 3, 28, 28))

    assert torch.equal(prepared(x, PreparationConfig(size=28)), x)


def test_a_side_that_is_no_multiple_of_14_is_refused():
    with pytest.raises(SettingsError, match="size must be a multiple of 14, got 256"):
        PreparationConfig(size=256)


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [("imagenet", (0.5 - 0.485) / 0.229), ("half", 0.0)],
)
def test_pictures_are_normalised_as_the_network_was_trained(normalisation, expected):
    backbone = Backbone(
        torch.nn.Identity(),
        preparation=PreparationConfig(size=14),
        normalisation=normalisation,
        origin="a test",
    )

    found = backbone(torch.zeros(1, 3, 14, 14))

    torch.testing.assert_close(found[0, 0], torch.full((14, 14), expected))


def test_a_backbone_is_frozen_and_lets_the_gradient_through():
    backbone = small_backbone()
    x = picture("x", (1, 3, 32, 32)).requires_grad_()

    backbone(x).cls.sum().backward()

    assert not backbone.training
    assert all(not p.requires_grad for p in backbone.parameters())
    assert x.grad.abs().max() > 0


def test_without_transformers_the_extra_is_named(weights, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)

    with pytest.raises(dino.MissingExtraError, match="DINOv2 needs the package transformers"):
        dinov2(weights, "a test")
