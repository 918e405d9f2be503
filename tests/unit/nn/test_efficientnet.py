import pytest
import torch
import torch.nn.functional as F

from hfdiff.core.errors import CheckpointError
from hfdiff.nn.efficientnet import EfficientNetLite0, SameConv, efficientnet_lite0
from support import normal


def published(network: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """The published keys for a network, with norms that do something."""
    names = {"expand": ("expand", 0), "depthwise": ("depthwise", 1), "project": ("project", 2)}
    tensors: dict[str, torch.Tensor] = {"_fc.weight": torch.ones(1)}
    for name, layer in network.named_modules():
        if not isinstance(layer, SameConv):
            continue
        if name in ("stem", "head"):
            convolution, norm = f"_conv_{name}", "_bn0" if name == "stem" else "_bn1"
        else:
            _, number, part = name.split(".")
            convolution = f"_blocks.{number}._{names[part][0]}_conv"
            norm = f"_blocks.{number}._bn{names[part][1]}"
        width = layer.out_channels
        tensors[f"{convolution}.weight"] = layer.weight.detach()
        tensors[f"{norm}.weight"] = 1 + 0.1 * normal(f"{norm} gain", (width,))
        tensors[f"{norm}.bias"] = 0.1 * normal(f"{norm} shift", (width,))
        tensors[f"{norm}.running_mean"] = 0.1 * normal(f"{norm} mean", (width,))
        tensors[f"{norm}.running_var"] = 0.5 + normal(f"{norm} var", (width,)).square()
        tensors[f"{norm}.num_batches_tracked"] = torch.tensor(9)
    return tensors


@pytest.fixture(scope="module")
def weights():
    return published(EfficientNetLite0())


@pytest.fixture(scope="module")
def network(weights):
    return efficientnet_lite0(weights, "a test").requires_grad_(False)


def test_there_is_one_patch_for_32_pixels_and_the_class_token_is_their_mean(network):
    tokens = network(normal("x", (2, 3, 64, 96)))

    assert tokens.patches.shape == (2, 2 * 3, 1280)
    torch.testing.assert_close(tokens.cls, tokens.patches.mean(1))


def test_norms_are_folded_into_the_convolutions_before_them(network, weights):
    x = normal("x", (1, 3, 32, 32))

    found = network.stem(x)

    padded = F.pad(x, (0, 1, 0, 1))  # the original framework pads at the end of an even side
    plain = F.conv2d(padded, weights["_conv_stem.weight"], stride=2)
    parts = [weights[f"_bn0.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    torch.testing.assert_close(found, F.batch_norm(plain, *parts, eps=1e-3), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 3, 2), (9, 5, 2), (8, 5, 1), (7, 1, 1)])
def test_a_convolution_keeps_the_size_over_its_stride(side, kernel, stride):
    layer = SameConv(2, 3, kernel, stride=stride)

    assert layer(torch.zeros(1, 2, side, side)).shape[-1] == -(-side // stride)


def test_it_has_the_published_parameters_but_for_norms_and_classifier(network):
    """4,652,008 published, 1,281,000 of the classifier; two per channel of norms become biases."""
    biases = sum(m.out_channels for m in network.modules() if isinstance(m, SameConv))

    count = sum(p.numel() for p in network.parameters())

    assert count + biases + 1_281_000 == 4_652_008


def test_other_weights_are_refused(weights):
    with pytest.raises(CheckpointError, match=r"a test lacks the tensors _blocks\.3\._bn1\.bias"):
        efficientnet_lite0(
            {k: t for k, t in weights.items() if k != "_blocks.3._bn1.bias"}, "a test"
        )
