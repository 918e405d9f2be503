"""Stage ``autoencoder``: pictures to latents and back (facts e.8).

Terms: l1, lpips on VGG16, the codebook's where there is one, and an adversarial one whose weight
follows the ratio of gradients at the decoder's last layer.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import Batch
from hfdiff.data.validation import Pair
from hfdiff.losses import adversarial, perceptual
from hfdiff.model.build import build_codec
from hfdiff.model.config import CodecConfig, ModelConfig
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.discriminator import DiscriminatorConfig, PatchDiscriminator
from hfdiff.nn.features import Lpips
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodecConfig
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase
from hfdiff.training.stages.common import (
    assemble,
    check_data,
    check_discriminator,
    check_vgg,
    export_model,
    frozen_nets,
    normal_rows,
    random_part,
    reconstructed,
    start_model,
    uniform_rows,
    with_origins,
)
from hfdiff.training.validation import decoded_way, validate_pairs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings(RunSettings):
    """Settings of stage ``autoencoder``; ``start`` is a model file whose codec is trained on.

    Attributes:
        codec: What is trained; where ``start`` names a file, that one's codec is.
        latent_noise: Largest noise on the latent, in units of its own spread; drawn per sample.
        l1, lpips, codebook: Weights of the raw terms; 0: not computed.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_noise", "l1", "lpips", "codebook", "adversarial", "lpips_part"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not self.l1 + self.lpips:
            raise SettingsError("l1 and lpips are both 0: nothing says what a good picture is")


class AutoencoderStage:
    """See the module."""

    best_by = "ceiling/lpips"

    def __init__(self, settings: AutoencoderSettings, pairs: list[Pair]) -> None:
        self.settings = settings
        self._pairs = pairs
        self._codec, self._config, self._before = _codec_of(settings)
        check_data(settings, self._config)
        side = settings.data.gt_size
        self._lpips: Lpips | None = None
        self._frozen_nets = frozen_nets(settings, settings.lpips_stages)
        if settings.lpips:
            check_vgg(min(side, settings.lpips_part or side))
            self._lpips = self._frozen_nets.lpips
        if settings.adversarial:
            check_discriminator(settings.discriminator, side)
            if 0 < settings.micro_batch < settings.batch:
                _log.warning("the adversarial term is balanced over each micro-batch on its own")
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
        return [] if self._lpips is None else [self._lpips]

    def weights(self) -> Mapping[str, float]:
        """Weights of the raw terms; the adversarial one carries its balance in itself."""
        s = self.settings
        has_codes = isinstance(self._config.codec, VQAutoencoderConfig)
        weights = {
            "l1": s.l1,
            "lpips": s.lpips,
            "codebook": s.codebook if has_codes else 0.0,
            "adversarial": s.adversarial,
            "discriminator": 1.0 if s.adversarial else 0.0,
        }
        return {name: weight for name, weight in weights.items() if weight}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Terms of the codec or of the discriminator."""
        picture_pm1, further = self._reconstruct(batch, generator)
        if phase == "discriminator":
            logits = self._discriminator(batch.gt_pm1), self._discriminator(picture_pm1.detach())
            return {"discriminator": adversarial.discriminator_hinge(*logits)}
        terms = self._picture_terms(picture_pm1, batch, generator)
        if self.settings.adversarial:
            rest = torch.stack([self.weights()[name] * terms[name] for name in terms]).sum()
            fooled = adversarial.generator_hinge(self._discriminator(picture_pm1))
            balance = adversarial.adaptive_weight(rest, fooled, self._codec.last_weight)
            terms["adversarial"] = balance * fooled
        return {**terms, **{name: further[name] for name in further if name in self.weights()}}

    def reconstructed(self, batch: Batch) -> Tensor | None:
        """What the autoencoder makes of a batch's gt, where it was trained before."""
        return reconstructed(self._codec, batch) if self.settings.start else None

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
        told = with_origins(training, self._frozen_nets)
        export_model(model, path, "autoencoder", told, self._before)

    def _picture_terms(
        self, picture_pm1: Tensor, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What compares the reconstruction with the gt."""
        terms = {}
        if self.settings.l1:
            terms["l1"] = F.l1_loss(picture_pm1.float(), batch.gt_pm1)
        if self._lpips is not None:
            part = random_part((picture_pm1, batch.gt_pm1), self.settings.lpips_part, generator)
            terms["lpips"] = perceptual.lpips(self._lpips, part[0].float(), part[1])
        return terms

    def _reconstruct(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        latent = (self._codec.latent_channels, *batch.lq_pm1.shape[-2:])
        level = self.settings.latent_noise * uniform_rows(batch, generator)
        noise = level.view(-1, 1, 1, 1) * normal_rows(batch, latent, generator)
        return self._codec.reconstruct(batch.gt_pm1, batch.lq_pm1, noise)


def _codec_of(settings: AutoencoderSettings) -> tuple[Any, ModelConfig, Any]:
    """The codec to train, a configuration for it alone, and the card of what it comes from."""
    if settings.start:
        started, description = start_model(settings.start)
        config = replace(started.config, network=None, role="codec")
        codec, card = started.codec, description.card
    else:
        config, card = ModelConfig(codec=settings.codec, role="codec"), None
        codec = build_codec(config)
    if isinstance(config.codec, IdentityConfig):
        raise SettingsError("codec: the identity family has nothing to train")
    if isinstance(config.codec, LiteCodecConfig) and not config.codec.with_gt_encoder:
        raise SettingsError("codec: training needs the encoder of the gt, which was left out")
    return codec, config, card
