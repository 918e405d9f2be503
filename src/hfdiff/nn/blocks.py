"""Norms, residual block, time embedding and resampling of the denoising U-Net (facts c.3, c.4).

Attribute names and places in a sequence are those of the published state dicts.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
"""Groups of every GroupNorm in the published networks; widths are multiples of it."""


class FloatGroupNorm(nn.GroupNorm):
    """GroupNorm over 32 groups, eps 1e-5, computed in float32 whatever the input's dtype."""

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same shape and dtype."""
        if x.dtype == torch.float64:
            return super().forward(x)
        weight, bias = self.weight.float(), self.bias.float()
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


class Downsample(nn.Module):
    """Halve both sides: conv 3x3 with stride 2 (key ``op``), or a mean over 2x2."""

    def __init__(self, channels: int, out_channels: int, *, with_conv: bool) -> None:
        super().__init__()
        if with_conv:
            self.op: nn.Module = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1)
        else:
            self.op = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C', H/2, W/2]``."""
        return self.op(x)


class Upsample(nn.Module):
    """Double both sides: nearest, then conv 3x3 (key ``conv``) if asked for."""

    def __init__(self, channels: int, *, with_conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if with_conv else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C, 2H, 2W]``."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class ResidualBlock(nn.Module):
    """The U-Net's residual block with the time embedding in its middle (facts c.4).

    Args:
        channels: Width of the input.
        out_channels: Width of the result.
        embedding: Width of the time embedding.
        scale_shift: The embedding scales and shifts the second norm; otherwise it is added before.
        resample: Resizes input and shortcut alike, for blocks that replace Up or Down.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embedding: int,
        *,
        scale_shift: bool,
        resample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample = resample or nn.Identity()
        conv_in = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.in_layers = nn.Sequential(FloatGroupNorm(channels), nn.SiLU(), conv_in)
        wide = 2 * out_channels if scale_shift else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, wide))
        conv_out = _zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        # Place 2 was a dropout of rate 0; it keeps the published number of the last conv.
        self.out_layers = nn.Sequential(
            FloatGroupNorm(out_channels), nn.SiLU(), nn.Identity(), conv_out
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """``[B, C, H, W]`` and the embedding ``[B, E]`` to ``[B, C', H', W']``."""
        norm, activate, conv = self.in_layers
        h = conv(self.resample(activate(norm(x))))
        emb = self.emb_layers(emb)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + emb)
        for layer in rest:
            h = layer(h)
        return self.skip_connection(self.resample(x)) + h


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of indices: cosines first, then sines, in float32 (facts c.3).

    Frequencies are exp(-ln(10000) k / half) with divisor half, not half - 1.

    Args:
        t: Indices ``[B]``.
        width: Width of the result ``[B, width]``; an odd one gets a zero appended.
    """
    half = width // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * k / half)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
