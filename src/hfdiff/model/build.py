"""From a ModelConfig to networks: the one place that knows which class a configuration means."""

from typing import assert_never

from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.model.config import ModelConfig
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.identity import IdentityCodec, IdentityConfig, IdentityNetwork
from hfdiff.nn.lite import LiteCodec, LiteCodecConfig, LiteDenoiser, LiteDenoiserConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from hfdiff.nn.vq import codebook_loss


class VQCodec(nn.Module):
    """The published way between pictures and latents: one encoder for both (facts b, j.1).

    The lq is enlarged by the published cubic before it is encoded; decode ignores the lq.
    """

    def __init__(self, config: VQAutoencoderConfig) -> None:
        super().__init__()
        self.autoencoder = VQAutoencoder(config)
        self.latent_channels = config.embed_dim
        self.factor = config.factor

    def encode_lq(self, lq_pm1: Tensor) -> Tensor:
        """Latent of the enlarged lq, not quantised: ``[B, 3, h, w]`` to ``[B, C_z, h, w]``."""
        return self.autoencoder.encode(enlarge_cubic(lq_pm1, self.factor))

    def encode_gt(self, gt_pm1: Tensor) -> Tensor:
        """Latent of the ground truth, not quantised."""
        return self.autoencoder.encode(gt_pm1)

    def reconstruct(
        self,
        gt_pm1: Tensor,
        lq_pm1: Tensor,  # noqa: ARG002
        noise: Tensor,  # noqa: ARG002  (the quantiser is noise enough)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction through the quantiser, and the codebook term (facts e.8, d.4)."""
        latent = self.autoencoder.encode(gt_pm1)
        z_q, indices = self.autoencoder.quantise(latent)
        codes = self.autoencoder.quantize.codes(indices)
        picture_pm1 = self.autoencoder.decode(z_q, quantise=False)
        return picture_pm1, {"codebook": codebook_loss(latent, codes)}

    @property
    def last_weight(self) -> Tensor:
        """Weight of the decoder's last layer, for the balance of adversarial terms."""
        return self.autoencoder.decoder.conv_out.weight

    def decode(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:  # noqa: ARG002
        """Picture of the quantised latent."""
        return self.autoencoder.decode(x_0, quantise=True)


class NoNetwork(nn.Module):
    """Stands where a codec has no denoiser yet; calling it is refused."""

    def forward(self, x: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:  # noqa: ARG002
        """Refuse.

        Raises:
            SettingsError: always.
        """
        raise SettingsError("this model file holds an autoencoder only and cannot upscale")


def build_model(config: ModelConfig) -> SRModel:
    """A model with freshly initialised weights, in evaluation mode and without gradients."""
    model = SRModel(config, build_network(config), build_codec(config))
    return model.eval().requires_grad_(False)


def build_network(config: ModelConfig) -> nn.Module:
    """The denoising network that a configuration names."""
    match config.network:
        case SwinUNetConfig():
            return SwinUNet(config.network)
        case LiteDenoiserConfig():
            return LiteDenoiser(config.network)
        case IdentityConfig():
            return IdentityNetwork()
        case None:
            return NoNetwork()
        case _:
            assert_never(config.network)


def build_codec(config: ModelConfig) -> nn.Module:
    """The codec that a configuration names."""
    match config.codec:
        case VQAutoencoderConfig():
            return VQCodec(config.codec)
        case LiteCodecConfig():
            return LiteCodec(config.codec)
        case IdentityConfig():
            return IdentityCodec(config.codec)
        case _:
            assert_never(config.codec)
