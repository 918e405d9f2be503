"""EfficientNet-Lite0 without its classifier: features where there is no DINOv2 (`imagenet_lite0`).

EfficientNet (arXiv 1905.11946) in the Lite variant: no squeeze-and-excitation, ReLU6 throughout.
Batch norms are folded into the convolutions before them, as a frozen network allows.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError, some_of
from hfdiff.core.weights import load_strictly
from hfdiff.nn.dino import Tokens

NORM_EPSILON = 1e-3
STEM, HEAD = 32, 1280
# Expansion, channels, blocks, stride of the first, kernel: Table 1 of the paper.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNetLite0(nn.Module):
    """Normalised pictures ``[B, 3, H, W]`` to `Tokens` of width 1280, one patch in 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        width = STEM
        for expansion, channels, count, stride, kernel in STAGES:
            for number in range(count):
                step = stride if number == 0 else 1
                blocks.append(MobileBlock(width, channels, expansion, kernel, step))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv(width, HEAD, 1)

    def forward(self, normalised: Tensor) -> Tokens:
        """The last features and their mean; pictures are (x - 0.5) / 0.5 of [0, 1]."""
        x = self.blocks(F.relu6(self.stem(normalised)))
        patches = F.relu6(self.head(x)).flatten(2).mT
        return Tokens(patches.mean(1), patches)


class MobileBlock(nn.Module):
    """Widen, filter each channel, narrow; with a shortcut where nothing changes its size."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride=stride, groups=wide)
        self.project = SameConv(wide, outputs, 1)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C', H / stride, W / stride]``."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.is_residual else h


class SameConv(nn.Conv2d):
    """Convolution with the padding of the original framework: a stride's odd pixel goes last."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C', ceil(H / stride), ceil(W / stride)]``."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in x.shape[-2:]]
        (top, bottom), (left, right) = [(m // 2, m - m // 2) for m in missing]
        return super().forward(F.pad(x, (left, right, top, bottom)))


def efficientnet_lite0(tensors: Mapping[str, Tensor], where: str) -> EfficientNetLite0:
    """The network with the published weights, which keep norms and convolutions apart.

    Raises:
        CheckpointError: when they are not the weights of EfficientNet-Lite0.
    """
    network = EfficientNetLite0()
    folded: dict[str, Tensor] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, SameConv):
            convolution, norm = _published(name)
            folded[f"{name}.weight"], folded[f"{name}.bias"] = _folded(
                tensors, convolution, norm, where
            )
    load_strictly(network, folded, where)
    return network


def _published(name: str) -> tuple[str, str]:
    """Keys of a layer and of the norm behind it in the published file."""
    if name == "stem":
        return "_conv_stem", "_bn0"
    if name == "head":
        return "_conv_head", "_bn1"
    _, number, part = name.split(".")
    norm = {"expand": 0, "depthwise": 1, "project": 2}[part]
    return f"_blocks.{number}._{part}_conv", f"_blocks.{number}._bn{norm}"


def _folded(
    tensors: Mapping[str, Tensor], convolution: str, norm: str, where: str
) -> tuple[Tensor, Tensor]:
    keys = [f"{convolution}.weight"]
    keys += [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise CheckpointError(f"{where} lacks the tensors {some_of(missing)}")
    kernel, gain, shift, mean, variance = (tensors[key].double() for key in keys)
    gain = gain / (variance + NORM_EPSILON).sqrt()
    return (kernel * gain.view(-1, 1, 1, 1)).float(), (shift - mean * gain).float()
