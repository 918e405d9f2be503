"""Bicubic in latent clothing: a family without weights, for tests, tools and as a baseline.

The latent is the lq itself, the denoiser returns its condition, and the decoder enlarges with the
published cubic kernel. It exercises everything around a network without a model's noise.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import enlarge_cubic


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """The identity family; ``factor`` is the enlargement."""

    kind: Literal["identity"] = "identity"
    factor: int = 4
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 16:
            raise SettingsError(f"factor must lie in 1..16, got {self.factor}")


class IdentityNetwork(nn.Module):
    """A denoiser that always answers with its condition."""

    def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:  # noqa: ARG002
        """Return ``lq_pm1``; the noisy latent and the index are ignored."""
        return lq_pm1


class IdentityCodec(nn.Module):
    """Latents are pictures on the lq grid, three channels in [-1, 1]."""

    latent_channels = 3

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.factor = config.factor

    def encode_lq(self, lq_pm1: Tensor) -> Tensor:
        """The lq itself."""
        return lq_pm1

    def encode_gt(self, gt_pm1: Tensor) -> Tensor:
        """Averages of factor x factor blocks: ``[B, 3, H / factor, W / factor]``."""
        return nn.functional.avg_pool2d(gt_pm1, self.factor)

    def decode(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:  # noqa: ARG002
        """Enlarge the latent by the factor."""
        return enlarge_cubic(x_0, self.factor)
