"""The published VQ-f4 autoencoder: pictures to continuous latents and back (facts d).

`VQAutoencoderConfig()` is the published configuration (55,322,782 parameters in 205 tensors); state
dicts have the published keys.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.nn.blocks import GROUPS
from hfdiff.nn.vq import VectorQuantiser

SCORES_AT_ONCE = 2**24
"""Most attention scores per sample at a time (64 MiB in float32)."""


@dataclass(frozen=True, kw_only=True)
class VQAutoencoderConfig:
    """Sizes of the autoencoder; the defaults are the published ones (facts d.1).

    Args:
        kind: Name of the family in model files.
        embed_dim: Channels C_z of the latent and of the codebook.
        n_embed: Number of codes.
        z_channels: Channels between the 1x1 convolutions and the encoder and decoder.
        ch: Width of the first level.
        ch_mult: Width of each level in units of ``ch``; each level after the first halves.
        num_res_blocks: Residual blocks per level of the encoder; the decoder has one more.
        attn_resolutions: Sides (from ``resolution``, halved per level) with attention.
        resolution: Nominal picture side; only decides where ``attn_resolutions`` fall.
    """

    kind: Literal["vq"] = "vq"
    embed_dim: int = 3
    n_embed: int = 8192
    z_channels: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = ()
    resolution: int = 256

    def __post_init__(self) -> None:
        for width in self.widths:
            if width % GROUPS:
                raise SettingsError(f"widths must be multiples of {GROUPS}, got {width}")
        if min(self.embed_dim, self.n_embed, self.z_channels, self.num_res_blocks) < 1:
            raise SettingsError(
                "embed_dim, n_embed, z_channels and num_res_blocks must be at least 1"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.ch * factor for factor in self.ch_mult)

    @property
    def factor(self) -> int:
        """Picture pixels per latent pixel, along each side; 4 for the published one."""
        return 2 ** (len(self.ch_mult) - 1)

    def has_attention(self, level: int) -> bool:
        """Whether the residual blocks of a level are followed by attention."""
        return self.resolution // 2**level in self.attn_resolutions


class VQAutoencoder(nn.Module):
    """Encoder, codebook and decoder; diffusion runs on latents that are not quantised."""

    def __init__(self, config: VQAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.decoder = _Decoder(config)
        self.quantize = VectorQuantiser(config.n_embed, config.embed_dim)
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def encode(self, picture_pm1: Tensor) -> Tensor:
        """Continuous latent of a picture, not quantised.

        Args:
            picture_pm1: ``[B, 3, H, W]``. Sides that are not multiples of ``config.factor`` lose
                their last rows and columns; callers pad.

        Returns:
            ``[B, C_z, H / factor, W / factor]``.
        """
        return self.quant_conv(self.encoder(picture_pm1))

    def quantise(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest codes, gradient straight through, and their indices ``[B, h, w]``."""
        return self.quantize(latent)

    def decode(self, latent: Tensor, *, quantise: bool = True) -> Tensor:
        """Picture of a latent, about [-1, 1] and not clamped.

        Args:
            latent: ``[B, C_z, h, w]``.
            quantise: Replace the latent by its codes first, as the published models do.

        Returns:
            ``[B, 3, factor h, factor w]``.
        """
        if quantise:
            latent, _ = self.quantise(latent)
        return self.decoder(self.post_quant_conv(latent))


class _Encoder(nn.Module):
    def __init__(self, config: VQAutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = _conv3(3, widths[0])
        self.down = nn.ModuleList()
        channels = widths[0]
        for level, width in enumerate(widths):
            stage = _Level(channels, width, config.num_res_blocks, config.has_attention(level))
            if level < len(widths) - 1:
                stage.downsample = _Downsample(width)
            self.down.append(stage)
            channels = width
        self.mid = _Middle(channels)
        self.norm_out = _norm(channels)
        self.conv_out = _conv3(channels, config.z_channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for stage in self.down:
            h = stage(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class _Decoder(nn.Module):
    def __init__(self, config: VQAutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        channels = widths[-1]
        self.conv_in = _conv3(config.z_channels, channels)
        self.mid = _Middle(channels)
        stages = []
        for level in reversed(range(len(widths))):
            count = config.num_res_blocks + 1
            stage = _Level(channels, widths[level], count, config.has_attention(level))
            channels = widths[level]
            if level > 0:
                stage.upsample = _Upsample(channels)
            stages.append(stage)
        # Published keys number the levels from the finest; they run from the coarsest.
        self.up = nn.ModuleList(reversed(stages))
        self.norm_out = _norm(channels)
        self.conv_out = _conv3(channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for stage in reversed(self.up):
            h = stage(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class _Level(nn.Module):
    """Residual blocks of one resolution, each with its attention if there is any, then a resize."""

    def __init__(self, channels: int, width: int, count: int, has_attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            _ResidualBlock(channels if i == 0 else width, width) for i in range(count)
        )
        self.attn = nn.ModuleList(_Attention(width) for _ in range(count if has_attention else 0))
        self.downsample: nn.Module = nn.Identity()
        self.upsample: nn.Module = nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            h = block(h)
            if len(self.attn):
                h = self.attn[i](h)
        return self.upsample(self.downsample(h))


class _Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = _ResidualBlock(channels, channels)
        self.attn_1 = _Attention(channels)
        self.block_2 = _ResidualBlock(channels, channels)

    def forward(self, h: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(h)))


class _ResidualBlock(nn.Module):
    """conv(swish(norm)) twice plus a shortcut; without a time embedding (facts d.3)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = _conv3(channels, width)
        self.norm2 = _norm(width)
        self.conv2 = _conv3(width, width)
        same = channels == width
        self.nin_shortcut = nn.Identity() if same else nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class _Attention(nn.Module):
    """One head over all positions, added to its input; in blocks of queries."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (_as_tokens(layer(h)) for layer in (self.q, self.k, self.v))
        # Softmax is per query, so blocks of queries give the same numbers in bounded memory, also
        # where torch has no fused kernel for a head this wide.
        blocks = torch.split(q, max(1, SCORES_AT_ONCE // k.shape[2]), dim=2)
        out = torch.cat([F.scaled_dot_product_attention(block, k, v) for block in blocks], dim=2)
        return x + self.proj_out(out.transpose(2, 3).reshape(x.shape))


class _Downsample(nn.Module):
    """Halve: zeros on the right and bottom only, then conv 3x3 with stride 2 (facts d.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _norm(channels: int) -> nn.GroupNorm:
    # eps differs from the denoising network's 1e-5.
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


def _conv3(channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1)


def _as_tokens(x: Tensor) -> Tensor:
    """``[B, C, H, W]`` to ``[B, 1, H * W, C]``: one head; torch's fused kernels want four axes."""
    return x.flatten(2).transpose(1, 2)[:, None]
