"""Feature networks in whose space distributions are compared: DINOv2 and its stand-ins (facts j.4).

A `Backbone` is how pictures become its input, the network itself, and where its weights are from.
DINOv2 is `transformers`' Dinov2Model, filled from any of the layouts in `hfdiff.nn.dino_layouts`.
Reading files is the business of `hfdiff.nn.pretrained`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import MissingExtraError, SettingsError
from hfdiff.core.weights import load_strictly
from hfdiff.nn.dino_layouts import facts_of, hub_layout, like_installed
from hfdiff.nn.features import imagenet_normalised

HALF = 0.5


class Tokens(NamedTuple):
    """What a network says of pictures.

    Attributes:
        cls: One vector a picture ``[B, D]``.
        patches: One vector a place ``[B, N, D]``, row by row.
    """

    cls: Tensor
    patches: Tensor


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How pictures become square inputs.

    Attributes:
        size: Side in pixels, a multiple of 14 for DINOv2; 252 blurs less than 224 and costs 1.3
            times as much.
        fit: ``resize`` to the square, bicubic with antialias, so that the whole picture counts;
            ``crop`` cuts the middle out at the picture's own scale.
    """

    size: int = 224
    fit: Literal["resize", "crop"] = "resize"

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % 14:
            raise SettingsError(f"size must be a multiple of 14, got {self.size}")


class Backbone(nn.Module):
    """Pictures in [-1, 1] to tokens, by a frozen network.

    Args:
        body: Normalised pictures to `Tokens`.
        preparation: How pictures become its input.
        normalisation: What the network was trained with: ImageNet's mean and deviation, or
            (x - 0.5) / 0.5 of [0, 1].
        origin: Where the weights are from and under which terms, for cards of models trained
            with it.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        preparation: PreparationConfig,
        normalisation: Literal["imagenet", "half"] = "imagenet",
        origin: str,
    ) -> None:
        super().__init__()
        self.body = body
        self.preparation = preparation
        self.normalisation = normalisation
        self.origin = origin
        self.requires_grad_(False).eval()

    def forward(self, picture_pm1: Tensor) -> Tokens:
        """Tokens of ``[B, 3, H, W]``; the gradient goes through to the pictures."""
        picture_01 = prepared((picture_pm1 + 1) / 2, self.preparation)
        if self.normalisation == "half":
            return self.body((picture_01 - HALF) / HALF)
        return self.body(imagenet_normalised(picture_01))


def prepared(picture_01: Tensor, config: PreparationConfig) -> Tensor:
    """Square inputs ``[B, 3, size, size]``, not clamped; a crop enlarges small pictures first."""
    height, width = picture_01.shape[-2:]
    size = config.size
    if config.fit == "resize":
        return _resized(picture_01, size, size)
    if min(height, width) < size:
        factor = size / min(height, width)
        height, width = (max(size, round(side * factor)) for side in (height, width))
        picture_01 = _resized(picture_01, height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return picture_01[..., top : top + size, left : left + size]


class DinoV2(nn.Module):
    """transformers' DINOv2 as normalised pictures -> `Tokens`; registers are left out."""

    def __init__(self, network: nn.Module, *, registers: int) -> None:
        super().__init__()
        self.network = network
        self.registers = registers

    def forward(self, normalised: Tensor) -> Tokens:
        """Class and patch tokens after the final norm, of ``[B, 3, H, W]``."""
        hidden = self.network(normalised).last_hidden_state
        return Tokens(hidden[:, 0], hidden[:, 1 + self.registers :])


def dinov2(tensors: Mapping[str, Tensor], where: str) -> DinoV2:
    """DINOv2 with the given weights, in whichever known layout they are.

    Args:
        tensors: The original's keys, the hub's, or those of transformers 5.
        where: What they are, for messages.

    Raises:
        CheckpointError: when they are not the weights of a DINOv2 network, in one sentence.
        MissingExtraError: without transformers.
    """
    renamed = hub_layout(tensors)
    facts = facts_of(renamed, where)
    network = _empty_network(facts)
    fitting = like_installed(renamed, network.state_dict())
    load_strictly(network, fitting, where)
    return DinoV2(network, registers=facts["num_register_tokens"])


def dinov2_name(network: DinoV2) -> str:
    """Its published name, such as ``dinov2 vits14``."""
    config: Any = network.network.config
    size = {384: "vits14", 768: "vitb14", 1024: "vitl14", 1536: "vitg14"}[config.hidden_size]
    return f"dinov2 {size}" + (f" with {network.registers} registers" if network.registers else "")


def _empty_network(facts: Mapping[str, Any]) -> nn.Module:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "DINOv2 needs the package transformers", hint="pip install 'hfdiff[train]'"
        ) from error
    options = dict(facts)
    registers = options.pop("num_register_tokens")
    network: nn.Module
    # Without storage: fresh weights would cost time and draw from the global generator.
    with torch.device("meta"):
        if registers:
            config = transformers.Dinov2WithRegistersConfig(
                **options, num_register_tokens=registers
            )
            network = transformers.Dinov2WithRegistersModel(config)
        else:
            network = transformers.Dinov2Model(transformers.Dinov2Config(**options))
    return network.to_empty(device="cpu")


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape[-2:] == (height, width):
        return picture
    # Half precision would round pixels to 8 bits of mantissa before the network sees them.
    return F.interpolate(
        picture.to(torch.promote_types(picture.dtype, torch.float32)),
        size=(height, width),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
