"""Stand-ins for DINOv2 with their fetched weights, against values recorded from other programs."""

import pytest
import torch

from hfdiff.core.errors import CheckpointError
from hfdiff.nn.pretrained import load_backbone
from support import picture

pytestmark = pytest.mark.parity

# The six features with the largest means: channel, mean over the picture, value in its middle.
LARGEST = [113, 413, 434, 455, 808, 1244]
MEANS = torch.tensor([4.7905126, 3.8296161, 4.3354988, 5.1950951, 3.4471943, 3.3299541])
MIDDLE = torch.tensor([4.5807829, 4.2313833, 4.5062647, 6.0000000, 2.3424838, 4.1273236])


def stored(name: str):
    try:
        return load_backbone(name)
    except CheckpointError as error:
        pytest.skip(f"{error}; {error.hint}")


def test_dino_imgfocus_gives_the_tokens_recorded_with_onnxruntime():
    """weights.md section 1: an input of zeros, five decimals; 3.4e-5 was measured there."""
    backbone = stored("dino_imgfocus")

    with torch.no_grad():
        tokens = backbone.body(torch.zeros(1, 3, 224, 224))

    cls = torch.tensor([0.80898, 0.50011, 1.81575, -4.64779])
    first = torch.tensor([1.19876, -0.39638, -0.00220, -4.67573])
    torch.testing.assert_close(tokens.cls[0, :4], cls, atol=4e-5, rtol=0)
    torch.testing.assert_close(tokens.patches[0, 0, :4], first, atol=4e-5, rtol=0)
    assert sum(p.numel() for p in backbone.parameters()) == 22_056_576


def test_imagenet_lite0_gives_the_features_of_the_published_program():
    """efficientnet-lite-pytorch 0.1.0 on picture("lite0", (1, 3, 224, 224)), before the pooling."""
    backbone = stored("imagenet_lite0")

    with torch.no_grad():
        tokens = backbone(picture("lite0", (1, 3, 224, 224)))

    torch.testing.assert_close(tokens.cls[0, LARGEST], MEANS, atol=3e-5, rtol=0)
    torch.testing.assert_close(tokens.patches[0, 24, LARGEST], MIDDLE, atol=3e-5, rtol=0)
