"""A small model of every family, for tests that go over all of them."""

from collections.abc import Mapping
from typing import get_args

import torch

from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.model.build import build_model
from hfdiff.model.config import CodecConfig, ModelConfig, NetworkConfig
from hfdiff.model.model_file import ModelCard
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodecConfig, LiteDenoiserConfig
from hfdiff.nn.swin_unet import SwinUNetConfig

CARD = ModelCard(name="small", licence="Apache-2.0", limits="random weights")

SMALL_UNET = SwinUNetConfig(
    image_size=8,
    model_channels=32,
    channel_mult=(1,),
    num_res_blocks=(1,),
    attention_resolutions=(8,),
    swin_embed_dim=32,
    num_head_channels=16,
    window_size=4,
    mlp_ratio=1.0,
)
SMALL_VQ = VQAutoencoderConfig(n_embed=8, ch=32, ch_mult=(1, 1, 1), num_res_blocks=1)
SMALL_LITE_CODEC = LiteCodecConfig(
    latent_channels=4,
    gt_width=8,
    gt_blocks=1,
    lq_width=8,
    lq_blocks=1,
    width=8,
    blocks=1,
    middle_width=8,
    fine_width=8,
)
SMALL_LITE = LiteDenoiserConfig(latent_channels=4, width=8, blocks=1, time_width=8)

SMALL: Mapping[str, ModelConfig] = {
    "base student": ModelConfig(network=SMALL_UNET, codec=SMALL_VQ),
    "base teacher": ModelConfig(
        network=SMALL_UNET,
        codec=SMALL_VQ,
        role="teacher",
        schedule=ScheduleConfig(steps=4, min_noise=0.2),
    ),
    "base autoencoder": ModelConfig(codec=SMALL_VQ, role="codec"),
    "lite student": ModelConfig(
        network=SMALL_LITE, codec=SMALL_LITE_CODEC, tile=64, overlap=24, halo=8
    ),
    "lite autoencoder": ModelConfig(codec=SMALL_LITE_CODEC, role="codec"),
    "identity": ModelConfig(network=IdentityConfig(), codec=IdentityConfig()),
    "identity x2": ModelConfig(
        network=IdentityConfig(factor=2), codec=IdentityConfig(factor=2), scale=2
    ),
}


def small_model(name: str) -> SRModel:
    """A model of a family, its weights drawn from a fixed seed, none of them zero."""
    model = build_model(SMALL[name])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def families() -> set[type]:
    """The configuration of every network and codec that a model file can name."""
    return {kind for union in (NetworkConfig, CodecConfig) for kind in get_args(get_args(union)[0])}
