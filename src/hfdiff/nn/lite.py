"""The lite family (spec 3.2): everything heavy happens on the lq's own grid.

With factor-4 latents the latent grid is the lq grid, so nothing is enlarged before the decoder's
last layers. No norms over the picture, no attention: the receptive field is finite and a tile
with enough margin equals the whole picture. The latent carries the picture: the decoder meets the
lq in one convolution and as the base of its residual, which keeps colours.

Parts: `LiteCodec` (encoder of the lq, encoder of the gt for training, decoder) and `LiteDenoiser`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.nn.recompute import plain, recomputed

_FACTOR = 4
_CUBIC_REACH = 2  # lq pixels of the kernel that enlarges the base of the residual
_STRIP = 32  # rows of the lq grid that are enlarged at once
_MEMORY = 0.01  # weight of the newest batch in the remembered mean and spread


@dataclass(frozen=True, kw_only=True)
class LiteDenoiserConfig:
    """The denoiser: residual blocks on the lq grid.

    Attributes:
        latent_channels: C_z.
        width: Channels inside.
        blocks: Residual blocks of two 3x3 convolutions.
        time_width: Width of the embedding of the time index.
    """

    kind: Literal["lite_denoiser"] = "lite_denoiser"
    latent_channels: int = 16
    width: int = 64
    blocks: int = 14
    time_width: int = 64
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.time_width % 2:
            raise SettingsError(f"time_width must be even, got {self.time_width}")
        _positive(width=self.width, blocks=self.blocks, latent_channels=self.latent_channels)

    @property
    def reach(self) -> int:
        """How far away, in lq pixels, an input can still change an output."""
        return 2 + 2 * self.blocks


@dataclass(frozen=True, kw_only=True)
class LiteCodecConfig:
    """Encoders and decoder of the lite family.

    Attributes:
        latent_channels: C_z.
        gt_width, gt_blocks: Encoder of the gt (training only), on the lq grid.
        lq_width, lq_blocks: Encoder of the lq.
        width, blocks: Decoder on the lq grid.
        middle_width, middle_blocks: Decoder at twice the lq grid.
        fine_width: Decoder at full size.
        with_gt_encoder: Whether the encoder of the gt is part of it; shipped models leave it out.
    """

    kind: Literal["lite_codec"] = "lite_codec"
    latent_channels: int = 16
    gt_width: int = 64
    gt_blocks: int = 4
    lq_width: int = 48
    lq_blocks: int = 3
    width: int = 64
    blocks: int = 4
    middle_width: int = 48
    middle_blocks: int = 1
    fine_width: int = 24
    with_gt_encoder: bool = True
    factor: Literal[4] = 4

    def __post_init__(self) -> None:
        _positive(latent_channels=self.latent_channels, width=self.width, blocks=self.blocks)

    @property
    def lq_reach(self) -> int:
        """How far away, in lq pixels, the lq can still change y."""
        return 2 + 2 * self.lq_blocks

    @property
    def gt_reach(self) -> int:
        """How far away, in latent pixels, the gt can still change its latent."""
        return 2 + 2 * self.gt_blocks

    @property
    def decoder_reach(self) -> int:
        """How far away, in lq pixels, a latent or the lq can still change the picture."""
        return max(1 + 2 * self.blocks + self.enlarging_reach, _CUBIC_REACH)

    @property
    def enlarging_reach(self) -> int:
        """The same of what the decoder does from where it leaves the lq grid."""
        fine = 2  # pixels at full size: two convolutions
        middle = math.ceil(fine / 2) + 1 + 2 * self.middle_blocks  # at twice the lq grid
        return math.ceil(middle / 2) + 1

    @property
    def reach(self) -> int:
        """Encoder of the lq and decoder together: what tiles need beside the denoiser's own."""
        return self.lq_reach + self.decoder_reach


class LiteDenoiser(nn.Module):
    """Predicts x_0 from the scaled noisy latent, the time index and the lq.

    The answer is a correction of nothing: it is the latent itself, as published (predict x_0).

    Attributes:
        recomputes: Whether training keeps what lies between the blocks only (`recomputed`).
    """

    def __init__(self, config: LiteDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.recomputes = False
        width = config.width
        self.time = nn.Sequential(
            nn.Linear(config.time_width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.enter = nn.Conv2d(config.latent_channels + 3, width, 3, padding=1)
        self.blocks = nn.ModuleList(LiteBlock(width, condition=width) for _ in range(config.blocks))
        self.leave = nn.Conv2d(width, config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
        """Answer ``[B, C_z, h, w]``.

        Args:
            x: Noisy latent divided by its input std, ``[B, C_z, h, w]``.
            t: Index of the original chain ``[B]`` int64.
            lq_pm1: The lq ``[B, 3, h, w]``.
        """
        time = self.time(time_features(t, self.config.time_width).to(x.dtype))
        h = self.enter(torch.cat((x, lq_pm1.to(x.dtype)), 1))
        call = recomputed if self.recomputes else plain
        for block in self.blocks:
            h = call(block, h, time)
        return self.leave(h)


class LiteCodec(nn.Module):
    """Between pictures and latents of the lite family; see `hfdiff.model.sr_model.Codec`."""

    def __init__(self, config: LiteCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_channels = config.latent_channels
        self.factor = config.factor
        self.lq_encoder = _encoder(3, config.lq_width, config.lq_blocks, config.latent_channels)
        self.decoder = LiteDecoder(config)
        if config.with_gt_encoder:
            inputs = 3 * _FACTOR**2
            self.gt_encoder = _encoder(
                inputs, config.gt_width, config.gt_blocks, config.latent_channels
            )
        # Latents are centred and scaled by what was measured after the gt encoder was trained.
        self.register_buffer("latent_mean", torch.zeros(1, config.latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, config.latent_channels, 1, 1))
        self.latent_mean: Tensor
        self.latent_std: Tensor

    def encode_lq(self, lq_pm1: Tensor) -> Tensor:
        """Latent y ``[B, C_z, h, w]`` of ``lq_pm1 [B, 3, h, w]``, on its own grid."""
        return self.lq_encoder(lq_pm1)

    def encode_gt(self, gt_pm1: Tensor) -> Tensor:
        """Latent x_0 ``[B, C_z, H / 4, W / 4]``, about unit variance.

        Raises:
            SettingsError: when the encoder of the gt was left out of this model.
        """
        if not self.config.with_gt_encoder:
            raise SettingsError(
                "this model was written without the encoder of the gt, which only training needs"
            )
        return (self.raw_latent(gt_pm1) - self.latent_mean) / self.latent_std

    def raw_latent(self, gt_pm1: Tensor) -> Tensor:
        """Output of the gt encoder before it is centred and scaled."""
        return self.gt_encoder(F.pixel_unshuffle(gt_pm1, _FACTOR))

    def reconstruct(
        self, gt_pm1: Tensor, lq_pm1: Tensor, noise: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What autoencoder training compares with the gt, and further raw terms.

        The latent is made noisy by ``noise``, in units of each sample's own spread per channel, so
        that the decoder bears a denoiser's errors; its mean and spread are remembered.

        Args:
            gt_pm1: ``[B, 3, H, W]``.
            lq_pm1: ``[B, 3, H / 4, W / 4]``.
            noise: ``[B, C_z, H / 4, W / 4]``.
        """
        latent = self.raw_latent(gt_pm1)
        with torch.no_grad():
            spread = latent.float().std((2, 3), keepdim=True)
            self._remember(latent.float())
        return self.decoder(latent + spread * noise, lq_pm1), {}

    @property
    def last_weight(self) -> Tensor:
        """Weight of the decoder's last layer, for the balance of adversarial terms."""
        return self.decoder.leave.weight

    def _remember(self, latent: Tensor) -> None:
        mean, std = latent.mean((0, 2, 3), keepdim=True), latent.std((0, 2, 3), keepdim=True)
        self.latent_mean.lerp_(mean, _MEMORY)
        self.latent_std.lerp_(std, _MEMORY)

    def decode(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:
        """Picture ``[B, 3, 4h, 4w]``, about [-1, 1], not clamped."""
        return self.decoder(x_0 * self.latent_std + self.latent_mean, lq_pm1)


class LiteDecoder(nn.Module):
    """Latent to picture, as a residual to the enlarged lq; thin at full size."""

    def __init__(self, config: LiteCodecConfig) -> None:
        super().__init__()
        width, middle, fine = config.width, config.middle_width, config.fine_width
        self.margin = config.enlarging_reach
        self.enter = nn.Conv2d(config.latent_channels + 3, width, 3, padding=1)
        self.blocks = nn.ModuleList(LiteBlock(width) for _ in range(config.blocks))
        self.to_middle = _upsampling(width, middle)
        self.middle_blocks = nn.ModuleList(LiteBlock(middle) for _ in range(config.middle_blocks))
        self.to_fine = _upsampling(middle, fine)
        self.fine = nn.Conv2d(fine, fine, 3, padding=1)
        self.leave = nn.Conv2d(fine, 3, 3, padding=1)
        nn.init.normal_(self.leave.weight, std=1e-2)
        _zero_bias(self.leave)

    def forward(self, latent: Tensor, lq_pm1: Tensor) -> Tensor:
        """``latent [B, C_z, h, w]`` (unscaled), ``lq_pm1 [B, 3, h, w]`` to ``[B, 3, 4h, 4w]``."""
        h = self.enter(torch.cat((latent, lq_pm1.to(latent.dtype)), 1))
        for block in self.blocks:
            h = block(h)
        sr_pm1 = enlarge_cubic(lq_pm1, _FACTOR)
        if torch.is_grad_enabled():
            return sr_pm1 + self._detail(h)
        # Strip by strip: features at full size take more memory than all else together.
        height = h.shape[-2]
        for top in range(0, height, _STRIP):
            rows = min(_STRIP, height - top)
            first = max(0, top - self.margin)
            detail = self._detail(h[:, :, first : top + rows + self.margin])
            kept = detail.narrow(-2, _FACTOR * (top - first), _FACTOR * rows)
            sr_pm1.narrow(-2, _FACTOR * top, _FACTOR * rows).add_(kept)
        return sr_pm1

    def _detail(self, h: Tensor) -> Tensor:
        """Features on the lq's grid to what is added to the enlarged lq: ``[B, 3, 4h, 4w]``."""
        h = _activated(F.pixel_shuffle(self.to_middle(h), 2))
        for block in self.middle_blocks:
            h = block(h)
        h = _activated(F.pixel_shuffle(self.to_fine(h), 2))
        return self.leave(_activated(self.fine(h)))


class LiteBlock(nn.Module):
    """x + conv(act(conv(x))); with a condition, features are scaled and shifted by it.

    There is no norm: the second convolution starts at zero, so a new block is the identity.
    """

    def __init__(self, width: int, *, condition: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        _zero_bias(self.second)
        self.modulate = nn.Linear(condition, 2 * width) if condition else None
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``x [B, C, h, w]``, ``condition [B, D]`` or None."""
        h = self.first(x)
        if self.modulate is not None and condition is not None:
            scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, 1)
            h = _added(_multiplied(h, 1 + scale), shift)
        return _added(self.second(_activated(h)), x)


def time_features(t: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of the index at geometrically falling frequencies (facts c.3)."""
    half = width // 2
    exponent = torch.arange(half, device=t.device, dtype=torch.float32) / half
    angle = t.float()[:, None] * (1e4**-exponent)
    return torch.cat((angle.cos(), angle.sin()), 1)


# In place where no gradient is wanted: features are what fills memory.


def _activated(fresh: Tensor) -> Tensor:
    """SiLU of what nobody else holds."""
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


def _multiplied(fresh: Tensor, factor: Tensor) -> Tensor:
    """A product with what nobody else holds."""
    return fresh * factor if torch.is_grad_enabled() else fresh.mul_(factor)


def _added(fresh: Tensor, other: Tensor) -> Tensor:
    """A sum with what nobody else holds."""
    return fresh + other if torch.is_grad_enabled() else fresh.add_(other)


def _encoder(channels: int, width: int, blocks: int, latent_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        *(LiteBlock(width) for _ in range(blocks)),
        nn.Conv2d(width, latent_channels, 3, padding=1),
    )


def _upsampling(channels: int, target: int) -> nn.Conv2d:
    """A convolution for pixel shuffle; its four sub-pixels start equal, without checkerboard."""
    conv = nn.Conv2d(channels, target * 4, 3, padding=1)
    with torch.no_grad():
        one = conv.weight[::4]
        conv.weight.copy_(one.repeat_interleave(4, 0))
    _zero_bias(conv)
    return conv


def _zero_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise SettingsError(f"{name} must be at least 1, got {size}")
