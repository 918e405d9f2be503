"""What several stages do alike: put models together, and write them."""

import copy
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hfdiff.losses.table import FrozenNets
from hfdiff.model.config import ModelConfig
from hfdiff.model.model_file import Description, ModelCard, load_model, save_model
from hfdiff.model.sr_model import SRModel
from hfdiff.training.settings import RunSettings


def assemble(
    config: ModelConfig, network: nn.Module, codec: nn.Module, parts: Mapping[str, nn.Module]
) -> SRModel:
    """A model of copies: a network, a codec, and newer weights for some of the codec's parts."""
    codec = copy.deepcopy(codec)
    for name, part in parts.items():
        getattr(codec, name).load_state_dict(part.state_dict())
    model = SRModel(config, copy.deepcopy(network), codec)
    return model.eval().requires_grad_(requires_grad=False)


def start_model(path: str) -> tuple[SRModel, Description]:
    """The model file that a stage starts from, with gradients allowed."""
    model, description = load_model(Path(path))
    return model.requires_grad_(requires_grad=True), description


def describe_unsaved(config: ModelConfig, name: str) -> Description:
    """A description for a model that is validated and not written."""
    card = ModelCard(name=name, licence="")
    return Description(
        format=0, kind="sr", config=config, card=card, package=version("hfdiff"), content_hash=""
    )


def export_model(
    model: SRModel, path: Path, name: str, training: Mapping[str, Any], before: ModelCard | None
) -> None:
    """Write a stage's result; the training of earlier stages stays in its card."""
    history = list(before.training.get("stages", [])) if before is not None else []
    card = ModelCard(
        name=name,
        licence="Apache-2.0",
        data_terms=before.data_terms if before is not None else "",
        training={"stages": [*history, dict(training)]},
    )
    save_model(path, model, card)


def frozen_nets(settings: RunSettings, lpips_stages: int) -> FrozenNets:
    """Feature networks for a run: their trunks compute in the run's precision."""
    dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    return FrozenNets(torch.device("cpu"), lpips_stages=lpips_stages, dtype=dtype)


def random_part(
    pictures: tuple[Tensor, ...], side: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The same random square of several pictures ``[B, C, H, W]``; 0 or a large side: all of it."""
    height, width = pictures[0].shape[-2:]
    if not 0 < side < min(height, width):
        return pictures
    top = int(torch.randint(height - side + 1, (), generator=generator))
    left = int(torch.randint(width - side + 1, (), generator=generator))
    return tuple(p[..., top : top + side, left : left + side] for p in pictures)


def normal_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal of a tensor's shape, drawn on the CPU so that devices agree."""
    return torch.randn(like.shape, generator=generator).to(like.device)
