"""SRModel: networks, schedule and codec made into one thing that enlarges tensors."""

from typing import Protocol, cast

from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import DrawNoise, sample_deterministic, sample_one_step
from hfdiff.diffusion.schedule import ShiftSchedule
from hfdiff.model.config import ModelConfig


class Codec(Protocol):
    """Between pictures and latents (spec 3.2); latents are ``[B, C_z, h, w]`` on the lq's grid."""

    latent_channels: int

    def encode_lq(self, lq_pm1: Tensor) -> Tensor:
        """Latent y of a low-quality picture ``[B, 3, h, w]``."""

    def encode_gt(self, gt_pm1: Tensor) -> Tensor:
        """Latent x_0 of a ground truth ``[B, 3, factor h, factor w]``."""

    def decode(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:
        """Picture ``[B, 3, factor h, factor w]``, about [-1, 1], not clamped."""


class SRModel(nn.Module):
    """A model that turns lq into sr: encode, denoise, decode.

    Args:
        config: What it is.
        network: The denoising network, called with (scaled x_t, t, lq_pm1).
        codec: Between pictures and latents.
    """

    def __init__(self, config: ModelConfig, network: nn.Module, codec: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.codec = codec
        self.schedule = ShiftSchedule.from_config(config.schedule)
        self.denoiser = Denoiser(network, self.schedule)

    @property
    def scale(self) -> int:
        """Output pixels per lq pixel."""
        return self.config.scale

    @property
    def latent_channels(self) -> int:
        """Channels C_z of the latent."""
        return self._codec.latent_channels

    def encode_lq(self, lq_pm1: Tensor) -> Tensor:
        """Latent y ``[B, C_z, h, w]`` of ``lq_pm1 [B, 3, h, w]``."""
        return self._codec.encode_lq(lq_pm1)

    def encode_gt(self, gt_pm1: Tensor) -> Tensor:
        """Latent x_0 ``[B, C_z, h, w]`` of ``gt_pm1 [B, 3, scale h, scale w]``."""
        return self._codec.encode_gt(gt_pm1)

    def decode(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:
        """Picture ``[B, 3, scale h, scale w]`` in about [-1, 1], not clamped."""
        return self._codec.decode(x_0, lq_pm1)

    def sample(self, y: Tensor, lq_pm1: Tensor, *, noise: DrawNoise, steps: int = 1) -> Tensor:
        """x_0 from y: one step of the full chain's last index, or ``steps`` by respacing.

        Raises:
            SettingsError: for a number of steps that the model was not trained for.
        """
        self.check_steps(steps)
        if steps == 1:
            return sample_one_step(self.denoiser, y, lq_pm1, noise=noise)
        chain = Denoiser(self.network, self.schedule.respaced(steps))
        return sample_deterministic(chain, y, lq_pm1, noise=noise)

    def check_steps(self, steps: int) -> None:
        """Refuse a number of steps that the model was not trained for.

        Raises:
            SettingsError: naming what is possible.
        """
        most = 1 if self.config.role == "student" else self.schedule.steps
        if not 1 <= steps <= most:
            takes = "one step only" if most == 1 else f"1 to {most} steps"
            raise SettingsError(f"this model takes {takes}, got {steps}")

    def forward(self, lq_pm1: Tensor, *, noise: DrawNoise, steps: int = 1) -> Tensor:
        """Hops 4 to 6 of the main path: latent, sample, picture.

        Args:
            lq_pm1: ``[B, 3, h, w]`` in [-1, 1], sides multiples of ``config.multiple``.
            noise: Where the normals come from.
            steps: Denoising steps.

        Returns:
            ``sr_pm1 [B, 3, scale h, scale w]``, not clamped.
        """
        y = self.encode_lq(lq_pm1)
        x_0 = self.sample(y, lq_pm1, noise=noise, steps=steps)
        return self.decode(x_0, lq_pm1)

    @property
    def _codec(self) -> Codec:
        return cast(Codec, self.codec)
