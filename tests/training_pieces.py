"""What tests of training share: pictures, small model files, settings that take a second."""

from pathlib import Path

import numpy as np
from PIL import Image

from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.model_file import ModelCard, save_model
from scenes import SCENES, gt_of
from small_networks import SMALL_AUTOENCODERS, SMALL_UNETS
from support import fill_by_recipe

CARD = ModelCard(name="test", licence="Apache-2.0", data_terms="drawn by formulas")


def write_pictures(folder: Path) -> Path:
    """Four small scenes as PNG, 120 x 96."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        levels = (gt_of(scene)[0, :, :96, :120] * 255).round().byte().permute(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(levels.numpy())).save(folder / f"{scene}.png")
    return folder


def published_codec_file(folder: Path) -> Path:
    """The small VQ autoencoder of the recorded values, alone."""
    config = ModelConfig(codec=SMALL_AUTOENCODERS["small"], role="codec")
    model = build_model(config)
    fill_by_recipe(model.codec.autoencoder)
    save_model(folder / "codec.safetensors", model, CARD)
    return folder / "codec.safetensors"


def published_teacher_file(folder: Path) -> Path:
    """The same with the network small_a."""
    config = ModelConfig(
        codec=SMALL_AUTOENCODERS["small"], network=SMALL_UNETS["small_a"], role="teacher"
    )
    model = build_model(config)
    fill_by_recipe(model.codec.autoencoder)
    fill_by_recipe(model.network)
    save_model(folder / "teacher.safetensors", model, CARD)
    return folder / "teacher.safetensors"
