"""Patch discriminator for adversarial terms (facts e.8): one logit a patch; training only."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from hfdiff.core.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Sizes of the discriminator; the published one has width 64 and three strided layers.

    Attributes:
        width: Channels of the first layer; doubled per layer up to eight times.
        layers: Convolutions of stride 2.
        norm: ``group`` does not depend on batch size and ranks; ``batch`` is the published one.
    """

    width: int = 64
    layers: int = 3
    norm: Literal["group", "batch"] = "group"

    def __post_init__(self) -> None:
        if self.width % 8 or self.layers < 1:
            raise SettingsError(
                f"the discriminator's width must be a multiple of 8 and layers at least 1, "
                f"got {self.width} and {self.layers}"
            )

    @property
    def least_side(self) -> int:
        """Shortest side of a picture that leaves one logit."""
        return 3 * 2**self.layers


class PatchDiscriminator(nn.Module):
    """``[B, 3, H, W]`` in [-1, 1] to logits ``[B, 1, h, w]``, high for real pictures."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        widths = [config.width * min(2**k, 8) for k in range(config.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for k in range(1, config.layers + 1):
            stride = 2 if k < config.layers else 1
            layers += [
                nn.Conv2d(widths[k - 1], widths[k], 4, stride, 1, bias=False),
                _norm(config.norm, widths[k]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, picture_pm1: Tensor) -> Tensor:
        """Logits of every patch."""
        return self.layers(picture_pm1)


def _norm(kind: Literal["group", "batch"], width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(8, width)
