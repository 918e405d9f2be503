"""Stage ``autoencoder``: pictures to latents and back (facts e.8).

Terms: l1, lpips on VGG16, the codebook's where there is one, and an adversarial one whose weight
follows the ratio of gradients at the decoder's last layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import Batch
from hfdiff.losses import adversarial, perceptual
from hfdiff.model.build import VQCodec, build_codec
from hfdiff.model.config import CodecConfig, ModelConfig
from hfdiff.nn.discriminator import DiscriminatorConfig, PatchDiscriminator
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodec, LiteCodecConfig
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase
from hfdiff.training.stages.common import assemble, export_model, frozen_nets, random_part
from hfdiff.training.validation import Pair, decoded_way, validate_pairs


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings(RunSettings):
    """Settings of stage ``autoencoder``.

    Attributes:
        codec: What is trained.
        latent_noise: Largest noise on the latent, in units of its own spread; drawn per sample.
        l1, lpips, codebook: Weights of the raw terms.
        adversarial: Share of the adversarial term (0.75 is published); 0: no discriminator.
        lpips_part: Side of the random square that LPIPS looks at; 0: the whole patch.
        lpips_stages: Stages of VGG16 in LPIPS; 5 is LPIPS proper.
        discriminator: Its sizes.
    """

    codec: CodecConfig = field(default_factory=LiteCodecConfig)
    latent_noise: float = 0.25
    l1: float = 1.0
    lpips: float = 1.0
    codebook: float = 1.0
    adversarial: float = 0.0
    lpips_part: int = 64
    lpips_stages: int = 4
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


class AutoencoderStage:
    """See the module."""

    def __init__(self, settings: AutoencoderSettings, pairs: list[Pair]) -> None:
        if isinstance(settings.codec, IdentityConfig):
            raise SettingsError("codec: the identity family has nothing to train")
        self.settings = settings
        self._pairs = pairs
        self._config = ModelConfig(codec=settings.codec, role="codec")
        codec = build_codec(self._config)
        self._codec: LiteCodec | VQCodec = codec  # type: ignore[assignment]  # told by the config
        self._lpips = frozen_nets(settings, settings.lpips_stages).lpips
        self._discriminator = PatchDiscriminator(settings.discriminator)
        phases = [Phase(name="generator", networks=("codec",))]
        if settings.adversarial:
            phases.append(Phase(name="discriminator", networks=("discriminator",)))
        self.phases = tuple(phases)

    def networks(self) -> Mapping[str, nn.Module]:
        """The codec, and the discriminator where the adversarial term is on."""
        networks: dict[str, nn.Module] = {"codec": self._codec}
        if self.settings.adversarial:
            networks["discriminator"] = self._discriminator
        return networks

    def frozen(self) -> list[nn.Module]:
        """LPIPS."""
        return [self._lpips]

    def weights(self) -> Mapping[str, float]:
        """Weights of the raw terms; the adversarial one carries its balance in itself."""
        s = self.settings
        return {
            "l1": s.l1,
            "lpips": s.lpips,
            "codebook": s.codebook,
            "adversarial": s.adversarial,
            "discriminator": 1.0,
        }

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Terms of the codec or of the discriminator."""
        picture_pm1, further = self._reconstruct(batch, generator)
        if phase == "discriminator":
            logits = self._discriminator(batch.gt_pm1), self._discriminator(picture_pm1.detach())
            return {"discriminator": adversarial.discriminator_hinge(*logits)}
        part = random_part((picture_pm1, batch.gt_pm1), self.settings.lpips_part, generator)
        terms = {
            "l1": F.l1_loss(picture_pm1.float(), batch.gt_pm1),
            "lpips": perceptual.lpips(self._lpips, part[0].float(), part[1]),
            **further,
        }
        if self.settings.adversarial:
            rest = self.settings.l1 * terms["l1"] + self.settings.lpips * terms["lpips"]
            fooled = adversarial.generator_hinge(self._discriminator(picture_pm1))
            balance = adversarial.adaptive_weight(rest, fooled, self._codec.last_weight)
            terms["adversarial"] = balance * fooled
        return terms

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """Reconstruction of the validation pictures: the ceiling of everything that follows."""
        model = assemble(self._config, nn.Identity(), averaged["codec"], {})
        ways = {"ceiling": decoded_way(model, lambda lq, gt: model.encode_gt(gt))}  # noqa: ARG005
        return validate_pairs(self._pairs, ways, folder)

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write the codec as a model file."""
        model = assemble(self._config, nn.Identity(), averaged["codec"], {})
        export_model(model, path, "autoencoder", training, None)

    def _reconstruct(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        count, scale = len(batch), self._config.scale
        height, width = (side // scale for side in batch.gt_pm1.shape[-2:])
        shape = (count, self._codec.latent_channels, height, width)
        level = self.settings.latent_noise * torch.rand((count, 1, 1, 1), generator=generator)
        noise = level * torch.randn(shape, generator=generator)
        return self._codec.reconstruct(batch.gt_pm1, batch.lq_pm1, noise.to(batch.gt_pm1.device))
