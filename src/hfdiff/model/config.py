"""ModelConfig: everything a model file says about the networks in it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, assert_never

from pydantic import Field

from hfdiff.core.errors import SettingsError
from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodecConfig, LiteDenoiserConfig
from hfdiff.nn.swin_unet import SwinUNetConfig

NetworkConfig = Annotated[
    SwinUNetConfig | LiteDenoiserConfig | IdentityConfig, Field(discriminator="kind")
]
CodecConfig = Annotated[
    VQAutoencoderConfig | LiteCodecConfig | IdentityConfig, Field(discriminator="kind")
]


def latent_channels(config: NetworkConfig | CodecConfig) -> int:
    """Channels C_z of the latents that a network or codec works on."""
    match config:
        case SwinUNetConfig():
            return config.out_channels
        case VQAutoencoderConfig():
            return config.embed_dim
        case LiteDenoiserConfig() | LiteCodecConfig():
            return config.latent_channels
        case IdentityConfig():
            return 3
        case _:
            assert_never(config)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A super-resolution model: codec, denoiser, schedule, and how pictures are cut for it.

    Attributes:
        network: The denoiser; None for an autoencoder alone.
        codec: Between pictures and latents; latents lie on the lq's own grid.
        schedule: The numbers of the shifting schedule.
        scale: Output pixels per lq pixel.
        role: A student takes one step only; a teacher takes any number up to the schedule's; a
            codec cannot sample.
        tile: Default tile side in lq pixels; a constant of the model, never of free memory.
        overlap: lq pixels that neighbouring tiles share.
        halo: lq pixels inside a tile's border that its result must not use; 0 where the networks
            look at the whole tile and no margin would make them exact.
        color_fix: Whether its answers are given the low-passed colours of the lq unless a user
            says otherwise; published models are left as they are.
    """

    network: NetworkConfig | None = None
    codec: CodecConfig
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    scale: int = 4
    role: Literal["student", "teacher", "codec"] = "student"
    tile: int = 256
    overlap: int = 32
    halo: int = 0
    color_fix: bool = False

    def __post_init__(self) -> None:
        if (self.network is None) != (self.role == "codec"):
            raise SettingsError(f"a model of role {self.role} needs a network, a codec has none")
        if self.network is not None and latent_channels(self.network) != latent_channels(
            self.codec
        ):
            raise SettingsError(
                f"network and codec must have the same latent channels, got "
                f"{latent_channels(self.network)} and {latent_channels(self.codec)}"
            )
        if self.scale != self.codec.factor:
            raise SettingsError(
                f"latents must lie on the lq grid: scale {self.scale} needs a codec of that "
                f"factor, got {self.codec.factor}"
            )
        for name, value, least in (
            ("tile", self.tile, 1),
            ("overlap", self.overlap, 0),
            ("halo", self.halo, 0),
            ("multiple", self.multiple, 1),
        ):
            if value < least:
                raise SettingsError(f"{name} must be at least {least}, got {value}")

    @property
    def multiple(self) -> int:
        """What both sides of a tile must be multiples of, in lq pixels."""
        return 1 if self.network is None else self.network.multiple
