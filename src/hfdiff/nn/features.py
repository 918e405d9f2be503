"""Frozen feature networks: the convolutions of VGG16 and AlexNet, and LPIPS on top of them.

Sources: VGG (arXiv 1409.1556, configuration D), AlexNet (arXiv 1404.5997, one tower), LPIPS
(arXiv 1801.03924). Keys are torchvision's (``features.N.weight``), so its files fit. Conventions:
facts j.3.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of R, G, B in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)
# The same normalisation on [-1, 1], with the rounding that LPIPS was calibrated with.
LPIPS_SHIFT = (-0.030, -0.088, -0.188)
LPIPS_SCALE = (0.458, 0.448, 0.450)
# Published; it also decides how strongly all-black features weigh.
LPIPS_EPSILON = 1e-10

Pool = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """One convolution with its ReLU.

    Attributes:
        layer: Its number in torchvision's ``features``.
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel.
        stride: Step in both directions.
    """

    layer: int
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Convolutions between two taps.

    Attributes:
        pooled: Whether a pooling comes first.
        convolutions: In their order; the last ReLU is the stage's tap.
    """

    pooled: bool
    convolutions: tuple[Convolution, ...]

    @property
    def width(self) -> int:
        """Channels of the tap."""
        return self.convolutions[-1].outputs


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """A chain of stages.

    Attributes:
        name: The weights' name (`hfdiff.core.fetch.WEIGHTS`).
        pool: Side of the max pooling, which has stride 2 and no padding.
        stages: Five of them, as LPIPS taps them.
    """

    name: str
    pool: int
    stages: tuple[Stage, ...]


def _chain(pooled: bool, *shapes: tuple[int, int, int]) -> Stage:
    """A stage of 3x3 convolutions, each given as (layer, inputs, outputs)."""
    chain = tuple(Convolution(layer=layer, inputs=i, outputs=o) for layer, i, o in shapes)
    return Stage(pooled=pooled, convolutions=chain)


VGG16 = TrunkConfig(
    name="vgg16",
    pool=2,
    stages=(  # taps relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
        _chain(False, (0, 3, 64), (2, 64, 64)),
        _chain(True, (5, 64, 128), (7, 128, 128)),
        _chain(True, (10, 128, 256), (12, 256, 256), (14, 256, 256)),
        _chain(True, (17, 256, 512), (19, 512, 512), (21, 512, 512)),
        _chain(True, (24, 512, 512), (26, 512, 512), (28, 512, 512)),
    ),
)
_FIRST = Convolution(layer=0, inputs=3, outputs=64, kernel=11, stride=4)
_SECOND = Convolution(layer=3, inputs=64, outputs=192, kernel=5)
ALEXNET = TrunkConfig(
    name="alexnet",
    pool=3,
    stages=(  # taps relu1 .. relu5
        Stage(pooled=False, convolutions=(_FIRST,)),
        Stage(pooled=True, convolutions=(_SECOND,)),
        _chain(True, (6, 192, 384)),
        _chain(False, (8, 384, 256)),
        _chain(False, (10, 256, 256)),
    ),
)


class Trunk(nn.Module):
    """The first stages of a classifier's convolutions, giving every stage's last ReLU.

    Args:
        config: VGG16 or ALEXNET.
        stages: How many of the five stages to build and run.
        pool: Instead of the max pooling (DISTS).

    Raises:
        ValueError: when ``stages`` is not between 1 and 5.
    """

    def __init__(self, config: TrunkConfig, *, stages: int = 5, pool: Pool | None = None) -> None:
        super().__init__()
        if not 1 <= stages <= len(config.stages):
            raise ValueError(f"stages must be between 1 and {len(config.stages)}, got {stages}")
        self.config = config
        self.stages = config.stages[:stages]
        self.pool = pool or nn.MaxPool2d(config.pool, stride=2)
        self.features = nn.ModuleDict(
            {str(c.layer): _layer(c) for stage in self.stages for c in stage.convolutions}
        )
        self.requires_grad_(False).eval()

    def forward(self, normalised: Tensor) -> list[Tensor]:
        """Features of pictures ``[B, 3, H, W]`` that are already normalised for the network.

        Returns:
            One ``[B, C_k, H_k, W_k]`` a stage, after its last ReLU.
        """
        taps: list[Tensor] = []
        x = _convolution_layout(normalised)
        for stage in self.stages:
            if stage.pooled:
                x = self.pool(x)
            for convolution in stage.convolutions:
                x = F.relu(self.features[str(convolution.layer)](x))
            taps.append(x)
        return taps


class Lpips(nn.Module):
    """Learned perceptual distance (LPIPS v0.1): weighted squared differences of unit features.

    Float32, whatever autocast says, but for the trunk where another ``dtype`` is named. The
    weights are frozen; ``heads.k`` is ``[C_k]``.

    Args:
        config: VGG16 or ALEXNET.
        stages: How many of the five stages count; fewer cost less and are no longer LPIPS proper.
        dtype: What the trunk computes in; bfloat16 is for training, never for measuring.
    """

    def __init__(
        self, config: TrunkConfig, *, stages: int = 5, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.trunk = Trunk(config, stages=stages)
        self.heads = nn.ParameterList(torch.zeros(stage.width) for stage in self.trunk.stages)
        self.requires_grad_(False).eval()

    def forward(self, sr_pm1: Tensor, gt_pm1: Tensor) -> Tensor:
        """Distance of each pair of pictures in [-1, 1]; the gradient reaches the first only.

        Args:
            sr_pm1: ``[B, 3, H, W]``.
            gt_pm1: The same shape.

        Returns:
            ``[B]``, at least 0; 0 for equal pictures.
        """
        device, reduced = sr_pm1.device.type, self.dtype != torch.float32
        with torch.autocast(device, dtype=self.dtype, enabled=reduced):
            with torch.no_grad():
                wanted = [unit_features(tap.float()) for tap in self.trunk(_shifted(gt_pm1))]
            given = [tap.float() for tap in self.trunk(_shifted(sr_pm1))]
        with torch.autocast(device, enabled=False):
            distance = sr_pm1.new_zeros(sr_pm1.shape[0], dtype=torch.float32)
            for tap, target, head in zip(given, wanted, self.heads, strict=True):
                squares = (unit_features(tap) - target).square()
                distance = distance + squares.mean((2, 3)) @ head
            return distance


def unit_features(tap: Tensor) -> Tensor:
    """Features ``[B, C, H, W]`` scaled to length 1 over the channels at every position."""
    # vector_norm has the gradient 0 at 0, where a written-out square root would give NaN.
    length = torch.linalg.vector_norm(tap, dim=1, keepdim=True)
    return tap / (length + LPIPS_EPSILON)


def imagenet_normalised(picture_01: Tensor) -> Tensor:
    """Pictures ``[B, 3, H, W]`` in [0, 1] with ImageNet's mean and deviation out; float32 up."""
    return _standardised(picture_01, IMAGENET_MEAN, IMAGENET_STD)


def _shifted(picture_pm1: Tensor) -> Tensor:
    return _standardised(picture_pm1, LPIPS_SHIFT, LPIPS_SCALE)


def _standardised(picture: Tensor, mean: Iterable[float], std: Iterable[float]) -> Tensor:
    picture = picture.to(torch.promote_types(picture.dtype, torch.float32))
    shift = picture.new_tensor(tuple(mean)).view(1, 3, 1, 1)
    return (picture - shift) / picture.new_tensor(tuple(std)).view(1, 3, 1, 1)


def _convolution_layout(picture: Tensor) -> Tensor:
    """Channels last on the CPU, where float32 convolutions then run about a quarter faster."""
    if picture.device.type != "cpu":
        return picture
    return picture.contiguous(memory_format=torch.channels_last)


def _layer(convolution: Convolution) -> nn.Conv2d:
    # AlexNet's first kernel of 11 has padding 2; all others keep the size.
    padding = 2 if convolution.kernel == 11 else convolution.kernel // 2
    return nn.Conv2d(
        convolution.inputs,
        convolution.outputs,
        convolution.kernel,
        stride=convolution.stride,
        padding=padding,
    )
