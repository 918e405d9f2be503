"""What several stages do alike: draw numbers, put models together, and write them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import Batch
from hfdiff.losses.feature_settings import FeatureSettings
from hfdiff.losses.table import FrozenNets
from hfdiff.model.config import ModelConfig
from hfdiff.model.extractor_file import load_extractor
from hfdiff.model.model_file import Description, ModelCard, load_model, save_model
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.discriminator import DiscriminatorConfig
from hfdiff.training.settings import RunSettings

_VGG_SIDE = 16  # VGG16 halves four times


def assemble(
    config: ModelConfig, network: nn.Module, codec: nn.Module, parts: Mapping[str, nn.Module]
) -> SRModel:
    """A model of copies: a network, a codec, and newer weights for some of the codec's parts.

    Its tensors are laid out as an upscaler lays out a loaded model's: so validation computes what
    `hfdiff upscale` computes with the exported file, to the bit.
    """
    codec = copy.deepcopy(codec)
    for name, part in parts.items():
        getattr(codec, name).load_state_dict(part.state_dict())
    model = SRModel(config, copy.deepcopy(network), codec)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def reconstructed(codec: Any, batch: Batch) -> Tensor:
    """decode(encode_gt(gt), lq): the ceiling of everything that is trained on a codec."""
    picture_pm1: Tensor = codec.decode(codec.encode_gt(batch.gt_pm1), batch.lq_pm1)
    return picture_pm1.float()


def start_model(path: str) -> tuple[SRModel, Description]:
    """The model file that a stage starts from; nothing of it is trained until a phase says so."""
    return load_model(Path(path))


def describe_unsaved(config: ModelConfig, name: str) -> Description:
    """A description for a model that is validated and not written."""
    card = ModelCard(name=name, licence="")
    return Description(
        format=0, kind="sr", config=config, card=card, package=version("hfdiff"), content_hash=""
    )


def export_model(
    model: SRModel, path: Path, name: str, training: Mapping[str, Any], before: ModelCard | None
) -> None:
    """Write a stage's result; the training of earlier stages stays in its card.

    Args:
        model: Its networks.
        path: The file.
        name: Of the model.
        training: What the card shall say of this stage; see `with_origins`.
        before: Card of what the stage started from.
    """
    history = list(before.training.get("stages", [])) if before is not None else []
    card = ModelCard(
        name=name,
        licence=before.licence if before is not None else "Apache-2.0",
        data_terms=before.data_terms if before is not None else "",
        training={"stages": [*history, dict(training)]},
    )
    save_model(path, model, card)


def frozen_nets(
    settings: RunSettings, lpips_stages: int, features: FeatureSettings | None = None
) -> FrozenNets:
    """Feature networks for a run: their trunks compute in the run's precision."""
    dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    return FrozenNets(
        torch.device("cpu"),
        lpips_stages=lpips_stages,
        dtype=dtype,
        features=features,
        read_extractor=lambda path: load_extractor(Path(path))[0],
    )


def with_origins(training: Mapping[str, Any], frozen: FrozenNets | None) -> dict[str, Any]:
    """What a card says of a training, with the frozen networks it looked through, if any."""
    origins = frozen.origins() if frozen is not None else {}
    return {**training, **({"frozen_networks": origins} if origins else {})}


def check_data(settings: RunSettings, config: ModelConfig) -> None:
    """Refuse patches that the networks cannot take, before anything is computed.

    Raises:
        SettingsError: naming both sides of the contradiction.
    """
    data = settings.data
    if data.scale != config.scale:
        raise SettingsError(f"data.scale is {data.scale}, the networks enlarge by {config.scale}")
    if data.gt_size // data.scale % config.multiple:
        raise SettingsError(
            f"data.gt_size must be a multiple of {config.multiple * config.scale} for this "
            f"network, got {data.gt_size}"
        )


def check_discriminator(config: DiscriminatorConfig, side: int) -> None:
    """Refuse pictures, ``side`` gt pixels a side, that leave a discriminator nothing to judge.

    Raises:
        SettingsError: naming the least side.
    """
    if side < config.least_side:
        raise SettingsError(
            f"the discriminator needs pictures of at least {config.least_side} pixels a side, "
            f"got {side}",
            hint="give discriminator.layers a smaller number, or let it see more",
        )


def check_vgg(side: int) -> None:
    """Refuse squares, ``side`` gt pixels a side, that VGG16 would halve away.

    Raises:
        SettingsError: naming the least side.
    """
    if side < _VGG_SIDE:
        raise SettingsError(f"VGG16 needs squares of at least {_VGG_SIDE} pixels, got {side}")


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A rectangle of a patch, in lq pixels; ``bottom`` and ``right`` are outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def at(cls, corner: tuple[int, int], side: int, *, within: tuple[int, int]) -> "Cutout":
        """A square with this top left corner, cut to a patch of so many rows and columns."""
        (top, left), (height, width) = corner, within
        return cls(
            top=top, left=left, bottom=min(top + side, height), right=min(left + side, width)
        )

    def wider(self, margin: int, *, within: tuple[int, int]) -> "Cutout":
        """With ``margin`` more on every side, as far as the patch reaches."""
        return Cutout(
            top=max(self.top - margin, 0),
            left=max(self.left - margin, 0),
            bottom=min(self.bottom + margin, within[0]),
            right=min(self.right + margin, within[1]),
        )

    def inside(self, outer: "Cutout") -> "Cutout":
        """The same rectangle, counted from the corner of one that holds it."""
        rows, columns = outer.top, outer.left
        return Cutout(
            top=self.top - rows,
            left=self.left - columns,
            bottom=self.bottom - rows,
            right=self.right - columns,
        )

    def of(self, picture: Tensor, scale: int = 1) -> Tensor:
        """Its part of ``[..., h * scale, w * scale]``."""
        rows = slice(self.top * scale, self.bottom * scale)
        return picture[..., rows, self.left * scale : self.right * scale]


def random_part(
    pictures: tuple[Tensor, ...], side: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """The same random square of several pictures ``[B, C, H, W]``; 0 or a large side: all of it."""
    height, width = pictures[0].shape[-2:]
    corner = random_corner(height, width, side, generator)
    if not side:
        return pictures
    seen = Cutout.at(corner, side, within=(height, width))
    return tuple(map(seen.of, pictures))


def random_corner(
    height: int, width: int, side: int, generator: torch.Generator
) -> tuple[int, int]:
    """Top and left of a random square; 0 for a side that is 0 or does not fit."""
    places = [max(1, length - side + 1) if side else 1 for length in (height, width)]
    device = generator.device
    draws = (torch.randint(count, (), generator=generator, device=device) for count in places)
    top, left = map(int, draws)
    return top, left


# Draws are made for the whole batch and each process and micro-batch takes the rows of its samples:
# so neither changes a number, and the generator is left in the same state by all.


def normal_rows(batch: Batch, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal ``[B, *shape]`` on the batch's device."""
    size = (batch.whole_size, *shape)
    whole = torch.randn(size, generator=generator, device=generator.device)
    return whole[batch.rows].to(batch.lq_pm1.device)


def uniform_rows(batch: Batch, generator: torch.Generator) -> Tensor:
    """Uniform numbers from 0 to 1, ``[B]``."""
    whole = torch.rand(batch.whole_size, generator=generator, device=generator.device)
    return whole[batch.rows].to(batch.lq_pm1.device)


def integer_rows(batch: Batch, below: int, generator: torch.Generator) -> Tensor:
    """Uniform integers 0 .. below - 1, int64 ``[B]``."""
    size, device = (batch.whole_size,), generator.device
    whole = torch.randint(below, size, generator=generator, device=device)
    return whole[batch.rows].to(batch.lq_pm1.device)
