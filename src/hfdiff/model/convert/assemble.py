"""From published weight files to one model: a denoising network and its autoencoder."""

from pathlib import Path
from typing import cast

from hfdiff.core.errors import SettingsError
from hfdiff.core.weights import load_strictly
from hfdiff.model.build import VQCodec, build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.convert.published import PublishedWeights, read_published
from hfdiff.model.convert.table import RELEASES, UNSUPPORTED, Release
from hfdiff.model.model_file import ModelCard
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNetConfig

AUTOENCODER = RELEASES["autoencoder_vq_f4.pth"]


def convert_published(
    unet: Path,
    autoencoder: Path,
    *,
    release: str | None = None,
    unet_config: SwinUNetConfig | None = None,
    autoencoder_config: VQAutoencoderConfig | None = None,
) -> tuple[SRModel, ModelCard]:
    """A model of two published files, and its card with the licences of both.

    Args:
        unet: File of a ResShift or SinSR denoising network.
        autoencoder: File of the VQ-f4 autoencoder.
        release: Name of the release where the file's own name does not tell (``SinSR_v1.pth``).
        unet_config: Sizes of the network; the published ones by default.
        autoencoder_config: Sizes of the autoencoder; the published ones by default.

    Raises:
        CheckpointError: when a file is not what it should be.
        SettingsError: when no release of that name is known.
    """
    known = _release(unet, release)
    unet_config = unet_config or SwinUNetConfig()
    autoencoder_config = autoencoder_config or VQAutoencoderConfig()
    if known.schedule is None or known.role is None:
        raise SettingsError(f"release {known.name} is no denoising network")
    network = read_published(unet, expect="unet", unet=unet_config)
    codec = read_published(autoencoder, expect="autoencoder", autoencoder=autoencoder_config)
    config = ModelConfig(
        network=unet_config,
        codec=autoencoder_config,
        schedule=known.schedule,
        scale=autoencoder_config.factor,
        role=known.role,
    )
    model = build_model(config)
    load_strictly(model.network, network.tensors, str(unet))
    load_strictly(cast(VQCodec, model.codec).autoencoder, codec.tensors, str(autoencoder))
    return model, _card(known, unet, network, autoencoder, codec)


def _release(path: Path, name: str | None) -> Release:
    wanted = name or path.name
    if wanted in UNSUPPORTED:
        raise SettingsError(f"{wanted} cannot be converted: {UNSUPPORTED[wanted]}")
    if wanted not in RELEASES:
        known = ", ".join(key for key, value in RELEASES.items() if value.kind == "unet")
        raise SettingsError(
            f"{wanted} is no known release, and weights alone do not tell their schedule",
            hint=f"say which by --release; known: {known}",
        )
    return RELEASES[wanted]


def _card(
    release: Release,
    unet: Path,
    network: PublishedWeights,
    autoencoder: Path,
    codec: PublishedWeights,
) -> ModelCard:
    return ModelCard(
        name=release.name,
        licence=f"denoiser: {release.licence}; autoencoder: {AUTOENCODER.licence}",
        data_terms=f"as published: {release.source}",
        training={
            "converted_from": {
                unet.name: network.source_sha256,
                autoencoder.name: codec.source_sha256,
            }
        },
        limits="details are invented; letters and faces may become others",
    )
