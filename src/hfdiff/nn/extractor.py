"""The high-frequency extractor H and the classifier it is pretrained in (HF-Diff 3.3, Algorithm 2).

H is a residual stem 3 -> N and K invertible modules, all at the picture's own size; its output is
the state after the last module. What the paper leaves open is decided in facts i.2.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.nn.invertible import InvertibleConfig, InvertibleStack

GROUPS = 8
"""Groups of the head's GroupNorms; its widths are multiples of it."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """The extractor H.

    Attributes:
        invertible: Its modules; their width is the stem's too.
        picture_range: What pictures it was trained on and must be given: RGB in [-1, 1].
    """

    kind: Literal["extractor"] = "extractor"
    invertible: InvertibleConfig = field(default_factory=InvertibleConfig)
    picture_range: Literal["pm1"] = "pm1"


class Extractor(nn.Module):
    """H; a fresh one is its stem alone.

    Attributes:
        channel_std: ``[N]``, spread of each feature channel over training pictures
            (`measure_channel_std`); ones until it is measured. Part of the model file.
    """

    channel_std: Tensor

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ResidualStem(config.invertible.width)
        self.invertible = InvertibleStack(config.invertible)
        self.register_buffer("channel_std", torch.ones(config.invertible.width))

    def forward(self, picture_pm1: Tensor) -> Tensor:
        """Features ``[B, N, H, W]`` of pictures ``[B, 3, H, W]``; float32 or better, sides >= 2."""
        return self.invertible(self.stem(picture_pm1))


class ResidualStem(nn.Module):
    """The shallow residual block RB of Algorithm 2: a 3x3 convolution 3 -> N, then x + f(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_in = _conv(3, width)
        with torch.no_grad():
            # Brightness drowns detail: kernels that answer to it as torch makes them learn nothing
            # in the first hundreds of steps. Fresh ones see differences only.
            self.conv_in.weight -= self.conv_in.weight.mean((2, 3), keepdim=True)
        self.residual = nn.Sequential(_conv(width, width), nn.LeakyReLU(0.2), _conv(width, width))

    def forward(self, picture_pm1: Tensor) -> Tensor:
        """``[B, 3, H, W]`` to ``[B, N, H, W]``."""
        x = self.conv_in(picture_pm1)
        return x + self.residual(x)


@dataclass(frozen=True, kw_only=True)
class ClassifierHeadConfig:
    """The head of pretraining: C_1..C_L and the fully connected layer of Algorithm 2.

    Attributes:
        widths: Channels of each strided block; their number is L, which the paper does not give.
        norm: ``group`` does not depend on batch size and ranks (spec 3.3); ``batch`` is an option.
    """

    widths: tuple[int, ...] = (128, 256, 512, 512)
    norm: Literal["group", "batch"] = "group"

    def __post_init__(self) -> None:
        if not self.widths or any(width < GROUPS or width % GROUPS for width in self.widths):
            raise SettingsError(
                f"the head's widths must be multiples of {GROUPS}, got {list(self.widths)}"
            )


class ClassifierHead(nn.Module):
    """Features to class logits. Algorithm 2's soft-max is inside the cross-entropy (spec 11).

    Args:
        config: Its sizes.
        features: Channels of the extractor's output.
        classes: Number of classes, which the data tell; at least 2.
    """

    def __init__(self, config: ClassifierHeadConfig, features: int, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise SettingsError(f"a classifier needs at least 2 classes, got {classes}")
        inputs = (features, *config.widths)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    _strided(before, width),
                    _norm(config.norm, width),
                    nn.ReLU(),
                )
                for before, width in zip(inputs, config.widths, strict=False)
            )
        )
        self.linear = nn.Linear(config.widths[-1], classes)

    def forward(self, features: Tensor) -> Tensor:
        """``[B, N, H, W]`` to logits ``[B, classes]`` in float32 or better."""
        pooled = self.blocks(features).mean((2, 3))
        logits = self.linear(pooled)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def measure_channel_std(extractor: Extractor, pictures_pm1: Iterable[Tensor]) -> Tensor:
    """Standard deviation ``[N]`` of every feature channel over all positions of all pictures.

    It does not change the extractor: ``extractor.channel_std.copy_(...)`` makes it part of it.

    Args:
        extractor: In evaluation mode.
        pictures_pm1: Batches ``[B, 3, H, W]``, of any sizes.

    Raises:
        SettingsError: when there are no pictures, or a channel is constant over them.
    """
    count, mean, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
    for picture_pm1 in pictures_pm1:
        # Running moments in float64 on the CPU: no list of features, no cancellation.
        features = extractor(picture_pm1).movedim(1, 0).flatten(1)
        added = features.shape[1]
        spread = features.var(1, correction=0).cpu().double()
        shift = features.mean(1).cpu().double() - mean
        squares = squares + added * spread + shift.square() * (count * added / (count + added))
        mean, count = mean + shift * (added / (count + added)), count + added
    if not count:
        raise SettingsError("the spread of features needs at least one picture")
    std = (squares / count).sqrt()
    if not bool((std > 0).all()):
        raise SettingsError("a feature channel is constant over these pictures: it has no spread")
    return std.float()


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


def _strided(inputs: int, outputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    # From torch's own start the head needs several times as many steps to learn anything.
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def _norm(kind: Literal["group", "batch"], width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(GROUPS, width)
