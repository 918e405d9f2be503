"""What tests of training share: pictures, small model files, settings that take a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbones import vits14
from hfdiff.core.weights import write_weights
from hfdiff.data.batches import Batch
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.extractor_file import save_extractor
from hfdiff.model.model_file import ModelCard, save_model
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.invertible import InvertibleConfig
from hfdiff.training.run import resolve, train
from scenes import SCENES, gt_of
from small_networks import SMALL_AUTOENCODERS, SMALL_UNETS
from support import fill_by_recipe, picture

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
    return _saved(folder / "codec.safetensors", model)


def published_teacher_file(folder: Path) -> Path:
    """The same with the network small_a."""
    config = ModelConfig(
        codec=SMALL_AUTOENCODERS["small"], network=SMALL_UNETS["small_a"], role="teacher"
    )
    model = build_model(config)
    fill_by_recipe(model.codec.autoencoder)
    fill_by_recipe(model.network)
    return _saved(folder / "teacher.safetensors", model)


def lite_codec_file(folder: Path) -> Path:
    """The codec of preset tiny, with weights that follow from their names."""
    config = ModelConfig(codec=_tiny("autoencoder").codec, role="codec")
    model = build_model(config)
    fill_by_recipe(model.codec)
    return _saved(folder / "lite_codec.safetensors", model)


def lite_teacher_file(folder: Path) -> Path:
    """The codec and the denoiser of preset tiny, likewise."""
    teacher = _tiny("teacher")
    config = ModelConfig(
        codec=_tiny("autoencoder").codec,
        network=teacher.network,
        schedule=teacher.schedule,
        role="teacher",
    )
    model = build_model(config)
    fill_by_recipe(model.codec)
    fill_by_recipe(model.network)
    return _saved(folder / "lite_teacher.safetensors", model)


def extractor_file(folder: Path) -> Path:
    """A small extractor H, with weights that follow from their names."""
    config = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))
    path = folder / "extractor.safetensors"
    save_extractor(path, fill_by_recipe(Extractor(config)), CARD)
    return path


def dino_file(folder: Path) -> Path:
    """A network of DINOv2's smallest size and layout, with random weights."""
    path = folder / "dinov2.safetensors"
    write_weights(path, vits14(), {})
    return path


@dataclass(frozen=True)
class Ground:
    """A folder in which runs can be made: pictures, and model files to start from."""

    root: Path

    @classmethod
    def prepared(cls, root: Path) -> "Ground":
        """With everything written."""
        write_pictures(root / "pictures")
        lite_codec_file(root)
        lite_teacher_file(root)
        return cls(root)

    def overrides(self, stage: str, out: str, *changes: str) -> list[str]:
        """Settings of a run of six steps that needs no pretrained weights."""
        start = {"teacher": "lite_codec", "distill": "lite_teacher"}.get(stage)
        return [
            f"data.root={self.root / 'pictures'}",
            f"out={self.root / out}",
            "iterations=6",
            "checkpoint_every=3",
            "keep=10",
            "log_every=2",
            "norms_every=4",
            *(["data.degradation=mild"] if stage != "extractor" else ["labels.by=degradations"]),
            *(["lpips=0"] if stage == "autoencoder" else []),
            *([f"start={self.root / f'{start}.safetensors'}"] if start else []),
            *changes,
        ]

    def settings(self, stage: str, out: str, *changes: str) -> Any:
        """The same, resolved."""
        return resolve(stage, "tiny", None, self.overrides(stage, out, *changes))

    def train(self, stage: str, out: str, *changes: str, resume: bool = False) -> Path:
        """Run a stage; the folder of the run."""
        train(stage, self.settings(stage, out, *changes), device="cpu", resume=resume)
        return self.root / out


def freed(stage: Any, phase: int = 0) -> Any:
    """The stage with the networks of a phase ready to learn, as the loop does it."""
    for name, network in stage.networks().items():
        network.requires_grad_(name in stage.phases[phase].networks)
    return stage


def batch_of(size: int = 4, *, side: int = 64) -> Batch:
    """Pairs that follow from their names."""
    return Batch(
        gt_pm1=picture("gt", (size, 3, side, side)),
        lq_pm1=picture("lq", (size, 3, side // 4, side // 4)),
        names=tuple(f"picture-{k}.png" for k in range(size)),
    )


def checkpoint(run: Path, step: int) -> Path:
    """The checkpoint of a step of a run."""
    return run / "checkpoints" / f"step-{step:08d}.safetensors"


def _tiny(stage: str) -> Any:
    return resolve(stage, "tiny", None, [])


def _saved(path: Path, model: Any) -> Path:
    save_model(path, model, CARD)
    return path
