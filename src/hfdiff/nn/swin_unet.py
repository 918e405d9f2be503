"""The published denoising network: a U-Net whose attention is Swin layers (facts c).

`SwinUNetConfig()` is the configuration of all published x4 models (118,593,583 parameters); state
dicts have the published keys, so published weights load without renaming.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.nn.blocks import (
    GROUPS,
    Downsample,
    FloatGroupNorm,
    ResidualBlock,
    Upsample,
    sinusoid,
)
from hfdiff.nn.recompute import plain, recomputed
from hfdiff.nn.swin import SwinLayer

FIRST_FEATURES = 16
"""Channels of the first convolution of the lq feature extractor (facts c.7)."""


@dataclass(frozen=True, kw_only=True)
class SwinUNetConfig:
    """Sizes of the network; the defaults are the published x4 configuration (facts c.1).

    Args:
        kind: Name of the family in model files.
        image_size: Latent side that the network is configured for. Any multiple works; this one
            decides which levels have attention and which windows are shifted (facts c.5).
        in_channels: Channels of the first convolution: those of the latent and of the condition.
            6 = 3 + 3; 15 = 3 + 12 when an lq of double size is unshuffled; 3 + 16 * 2^n with a
            feature extractor of n stages.
        out_channels: Channels of the latent.
        model_channels: Width of the first level; the time embedding has 4 times as many.
        channel_mult: Width of each level, in units of ``model_channels``.
        num_res_blocks: Residual blocks per level on the way down; one more on the way up.
        attention_resolutions: Sides (from ``image_size``, halved per level) with a Swin layer.
        swin_depth: Attention blocks per Swin layer.
        swin_embed_dim: Width of the Swin layers.
        num_head_channels: Channels per attention head.
        window_size: Side of the attention windows.
        mlp_ratio: Hidden width of the attention blocks' MLP, as a multiple of their width.
        use_scale_shift_norm: The time embedding scales and shifts; otherwise it is added.
        resblock_updown: Residual blocks resize between levels, instead of convolutions.
        conv_resample: Resizing has a convolution; otherwise plain mean and nearest.
        patch_norm: Group norms at the borders of the Swin layers.
        lq_size: Side of an lq larger than the latent, 2^n ``image_size`` with n > 0: a feature
            extractor brings it down (journal models). None: the lq is concatenated (facts c.7).
    """

    kind: Literal["swin_unet"] = "swin_unet"
    image_size: int = 64
    in_channels: int = 6
    out_channels: int = 3
    model_channels: int = 160
    channel_mult: tuple[int, ...] = (1, 2, 2, 4)
    num_res_blocks: tuple[int, ...] = (2, 2, 2, 2)
    attention_resolutions: tuple[int, ...] = (64, 32, 16, 8)
    swin_depth: int = 2
    swin_embed_dim: int = 192
    num_head_channels: int = 32
    window_size: int = 8
    mlp_ratio: float = 4.0
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    conv_resample: bool = True
    patch_norm: bool = False
    lq_size: int | None = None

    def __post_init__(self) -> None:
        self._check_levels()
        self._check_widths()
        self._check_condition()

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.channel_mult)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    @property
    def embedding(self) -> int:
        """Width of the time embedding."""
        return 4 * self.model_channels

    @property
    def lq_stages(self) -> int:
        """Stages of the lq feature extractor, each of which halves the lq."""
        return int(math.log2(self.lq_size / self.image_size)) if self.lq_size else 0

    @property
    def multiple(self) -> int:
        """What both latent sides must be multiples of; 64 for the published networks."""
        sides = [2 ** (self.levels - 1)]
        for level in range(self.levels):
            resolution = self.image_size // 2**level
            if resolution in self.attention_resolutions or level == self.levels - 1:
                sides.append(min(self.window_size, resolution) * 2**level)
        return math.lcm(*sides)

    def _check_levels(self) -> None:
        if len(self.num_res_blocks) != self.levels:
            raise SettingsError(
                f"num_res_blocks must name one number for each of {self.levels} levels, "
                f"got {len(self.num_res_blocks)}"
            )
        if self.image_size % 2 ** (self.levels - 1):
            raise SettingsError(
                f"image_size {self.image_size} cannot be halved {self.levels - 1} times"
            )

    def _check_widths(self) -> None:
        for width in (*self.widths, self.swin_embed_dim):
            if width % GROUPS:
                raise SettingsError(f"widths must be multiples of {GROUPS}, got {width}")
        if self.swin_embed_dim % self.num_head_channels:
            raise SettingsError(
                f"swin_embed_dim {self.swin_embed_dim} must be a multiple of "
                f"num_head_channels {self.num_head_channels}"
            )

    def _check_condition(self) -> None:
        if self.in_channels <= self.out_channels:
            raise SettingsError(
                f"in_channels must exceed out_channels by the channels of the condition, "
                f"got {self.in_channels} and {self.out_channels}"
            )
        if self.lq_size is None:
            return
        if self.lq_stages < 1 or self.lq_size != self.image_size * 2**self.lq_stages:
            raise SettingsError(
                f"lq_size must be image_size {self.image_size} times 2, 4, 8, ..., "
                f"got {self.lq_size}"
            )
        expected = self.out_channels + FIRST_FEATURES * 2**self.lq_stages
        if self.in_channels != expected:
            raise SettingsError(
                f"in_channels must be {expected} with lq_size {self.lq_size}, "
                f"got {self.in_channels}"
            )


class SwinUNet(nn.Module):
    """Predicts x_0 from a scaled noisy latent, its index and the lq picture (facts c.3).

    Attributes:
        recomputes: Whether training keeps what lies between the blocks only (`recomputed`).
    """

    def __init__(self, config: SwinUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.recomputes = False
        width, first = config.embedding, config.widths[0]
        self.time_embed = nn.Sequential(
            nn.Linear(config.model_channels, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.feature_extractor = _feature_extractor(config.lq_stages) if config.lq_size else None
        self.input_blocks, skips = _input_side(config)
        self.middle_block = _middle(config)
        self.output_blocks = _output_side(config, skips)
        conv = nn.Conv2d(first, config.out_channels, 3, padding=1)
        self.out = nn.Sequential(FloatGroupNorm(first), nn.SiLU(), conv)

    def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
        """The x_0 prediction ``[B, C_z, h, w]``.

        Args:
            x: Noisy latent ``[B, C_z, h, w]``, already divided by its input std; h and w are
                multiples of ``config.multiple``.
            t: Index in the full chain, int64 ``[B]``.
            lq_pm1: The lq picture ``[B, 3, h', w']``: of the latent's size, of double or a
                quarter of it, or of ``lq_size / image_size`` times it with a feature extractor.

        Raises:
            ImageError: for a latent side that is not a multiple.
        """
        multiple = self.config.multiple
        if x.shape[2] % multiple or x.shape[3] % multiple:
            size = f"{x.shape[2]} x {x.shape[3]}"
            raise ImageError(f"latent sides must be multiples of {multiple}, got {size}")
        emb = self.time_embed(sinusoid(t, self.config.model_channels).to(x.dtype))
        h = torch.cat([x, self._condition(lq_pm1, x)], dim=1)
        call = recomputed if self.recomputes else plain
        skips = []
        for block in self.input_blocks:
            h = call(block, h, emb)
            skips.append(h)
        h = call(self.middle_block, h, emb)
        for block in self.output_blocks:
            h = call(block, torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h)

    def _condition(self, lq_pm1: Tensor, x: Tensor) -> Tensor:
        """Bring the lq to the latent's size (facts c.7)."""
        if self.feature_extractor is not None:
            return self.feature_extractor(lq_pm1)
        if lq_pm1.shape[2:] == x.shape[2:]:
            return lq_pm1
        if lq_pm1.shape[2] > x.shape[2]:
            return F.pixel_unshuffle(lq_pm1, 2)
        return F.interpolate(lq_pm1, scale_factor=4.0, mode="nearest")


class Stack(nn.ModuleList):
    """Layers one after the other; residual blocks are given the time embedding too."""

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        """``[B, C, H, W]`` and the embedding ``[B, E]`` to ``[B, C', H', W']``."""
        for layer in self:
            h = layer(h, emb) if isinstance(layer, ResidualBlock) else layer(h)
        return h


def _feature_extractor(stages: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels, wide = 3, FIRST_FEATURES
    for _ in range(stages):
        layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.SiLU()]
        layers.append(Downsample(wide, 2 * wide, with_conv=True))
        channels = wide = 2 * wide
    return nn.Sequential(*layers)


def _input_side(config: SwinUNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """The way down, and the width of each of its results (the skips)."""
    channels = config.widths[0]
    blocks = [Stack([nn.Conv2d(config.in_channels, channels, 3, padding=1)])]
    skips = [channels]
    for level, width in enumerate(config.widths):
        for j in range(config.num_res_blocks[level]):
            layers: list[nn.Module] = [_residual(config, channels, width)]
            if j == 0:
                layers += _attention(config, width, level)
            blocks.append(Stack(layers))
            skips.append(width)
            channels = width
        if level < config.levels - 1:
            blocks.append(Stack([_down(config, channels)]))
            skips.append(channels)
    return nn.ModuleList(blocks), skips


def _middle(config: SwinUNetConfig) -> Stack:
    width = config.widths[-1]
    swin = _swin_layer(config, width, config.levels - 1)
    return Stack([_residual(config, width, width), swin, _residual(config, width, width)])


def _output_side(config: SwinUNetConfig, skips: list[int]) -> nn.ModuleList:
    """The way up; every block is given the skip that was pushed last."""
    left = list(skips)
    channels = config.widths[-1]
    blocks = []
    for level in reversed(range(config.levels)):
        width = config.widths[level]
        count = config.num_res_blocks[level] + 1
        for i in range(count):
            layers: list[nn.Module] = [_residual(config, channels + left.pop(), width)]
            if i == 0:
                layers += _attention(config, width, level)
            if level > 0 and i == count - 1:
                layers.append(_up(config, width))
            blocks.append(Stack(layers))
            channels = width
    return nn.ModuleList(blocks)


def _residual(
    config: SwinUNetConfig, channels: int, width: int, resample: nn.Module | None = None
) -> ResidualBlock:
    return ResidualBlock(
        channels,
        width,
        config.embedding,
        scale_shift=config.use_scale_shift_norm,
        resample=resample,
    )


def _attention(config: SwinUNetConfig, width: int, level: int) -> list[nn.Module]:
    if config.image_size // 2**level not in config.attention_resolutions:
        return []
    return [_swin_layer(config, width, level)]


def _swin_layer(config: SwinUNetConfig, width: int, level: int) -> SwinLayer:
    return SwinLayer(
        width,
        config.swin_embed_dim,
        depth=config.swin_depth,
        heads=config.swin_embed_dim // config.num_head_channels,
        window=config.window_size,
        resolution=config.image_size // 2**level,
        mlp_ratio=config.mlp_ratio,
        patch_norm=config.patch_norm,
    )


def _down(config: SwinUNetConfig, width: int) -> nn.Module:
    if config.resblock_updown:
        return _residual(config, width, width, Downsample(width, width, with_conv=False))
    return Downsample(width, width, with_conv=config.conv_resample)


def _up(config: SwinUNetConfig, width: int) -> nn.Module:
    if config.resblock_updown:
        return _residual(config, width, width, Upsample(width, with_conv=False))
    return Upsample(width, with_conv=config.conv_resample)
