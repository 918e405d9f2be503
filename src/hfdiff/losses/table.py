"""All terms of distillation by name; a term is (DistillInputs) -> unweighted float32 scalar."""

from collections.abc import Callable, Mapping
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.core.fetch import WEIGHTS
from hfdiff.core.weights import content_hash
from hfdiff.losses import high_frequency, jensen_shannon, perceptual
from hfdiff.losses.distill import (
    anchor_loss,
    consistency_image_loss,
    consistency_loss,
    covariance_loss,
    distill_image_loss,
    distill_loss,
    inverse_loss,
    l1_loss,
)
from hfdiff.losses.feature_settings import FeatureSettings
from hfdiff.losses.inputs import DistillInputs
from hfdiff.nn.dino import Backbone
from hfdiff.nn.extractor import Extractor
from hfdiff.nn.features import VGG16, Lpips, Trunk
from hfdiff.nn.pretrained import load_backbone, load_lpips, load_trunk

Loss = Callable[[DistillInputs], Tensor]
ExtractorReader = Callable[[str], Extractor]


class FrozenNets:
    """Frozen feature networks, each loaded when the first term asks for it.

    Args:
        device: Where they compute.
        lpips_stages: Stages of VGG16 that the LPIPS term uses; 5 is LPIPS proper.
        dtype: What their trunks compute in.
        features: Which networks hf and js_dino look through.
        read_extractor: Reads the extractor's model file, which is not this rung's business.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        lpips_stages: int = 5,
        dtype: torch.dtype = torch.float32,
        features: FeatureSettings | None = None,
        read_extractor: ExtractorReader | None = None,
    ) -> None:
        self._device = device
        self.dtype = dtype
        self._lpips_stages = lpips_stages
        self.features = features or FeatureSettings()
        self._read_extractor = read_extractor

    @cached_property
    def lpips(self) -> Lpips:
        """LPIPS on VGG16."""
        network = load_lpips(VGG16, stages=self._lpips_stages, dtype=self.dtype)
        return network.to(self._device)

    @cached_property
    def vgg(self) -> Trunk:
        """VGG16 up to relu2_2."""
        return load_trunk(VGG16, stages=perceptual.VGG_STAGES).to(self._device)

    @cached_property
    def extractor(self) -> Extractor:
        """The high-frequency extractor H.

        Raises:
            SettingsError: when no file of it is named.
            CheckpointError: when the file is no extractor.
        """
        path = self.features.extractor
        if not path or self._read_extractor is None:
            raise SettingsError(
                "the term hf needs the extractor's model file: set features.extractor",
                hint="hfdiff train extractor makes one",
            )
        extractor = self._read_extractor(path).requires_grad_(False).eval()
        extractor.invertible.backward_form = self.features.hf_backward
        return extractor.to(self._device)

    @cached_property
    def dino(self) -> Backbone:
        """DINOv2 or its stand-in; see `load_backbone` for what is raised."""
        return load_backbone(self.features.dino, self.features.dino_input).to(self._device)

    def origins(self) -> dict[str, str]:
        """The networks that a term has asked for, with their terms of use, for a model's card."""
        found = {}
        for name, network in vars(self).items():
            if isinstance(network, Backbone):
                found[name] = network.origin
            elif isinstance(network, Extractor):
                found[name] = f"content hash {content_hash(network.state_dict())}"
            elif isinstance(network, nn.Module):
                found[name] = f"vgg16; {WEIGHTS['vgg16'].licence}"
        return found

    def loaded(self) -> list[nn.Module]:
        """The networks that a term has asked for."""
        return [network for network in vars(self).values() if isinstance(network, nn.Module)]


def _lpips_term(frozen: FrozenNets) -> Loss:
    network = frozen.lpips
    return lambda inputs: inputs.mean_over_pictures(partial(perceptual.lpips, network))


def _vgg_term(frozen: FrozenNets) -> Loss:
    network = frozen.vgg
    return lambda inputs: inputs.mean_over_pictures(partial(perceptual.vgg, network))


def _hf_term(frozen: FrozenNets) -> Loss:
    network, features = frozen.extractor, frozen.features
    # States cannot be rebuilt through maps in half precision: they would round differently.
    rebuilds = features.hf_backward == "reconstruct"
    term = partial(
        high_frequency.hf,
        network,
        normalize=features.hf_normalize,
        poses=features.hf_poses,
        dtype=torch.float32 if rebuilds else frozen.dtype,
    )
    return lambda inputs: inputs.mean_over_pictures(term)


def _js_dino_term(frozen: FrozenNets) -> Loss:
    network, config, dtype = frozen.dino, frozen.features.js, frozen.dtype
    term = partial(jensen_shannon.js_dino, network, config=config, dtype=dtype)
    if config.way.startswith("batch_"):  # the batch is the distribution: no chunks of it
        return lambda inputs: term(inputs.sr_pm1, inputs.gt_pm1)
    return lambda inputs: inputs.mean_over_pictures(term)


LOSSES: Mapping[str, Callable[[FrozenNets], Loss]] = {
    "distill": lambda frozen: distill_loss,  # noqa: ARG005  (Eq. 3)
    "inv": lambda frozen: inverse_loss,  # noqa: ARG005  (Eq. 7)
    "cov": lambda frozen: covariance_loss,  # noqa: ARG005  (before con, which then costs less)
    "con": lambda frozen: consistency_loss,  # noqa: ARG005  (Eq. 8)
    "distill_image": lambda frozen: distill_image_loss,  # noqa: ARG005
    "con_image": lambda frozen: consistency_image_loss,  # noqa: ARG005
    "hf": _hf_term,  # Eq. 6
    "js_dino": _js_dino_term,  # Eq. 4
    "anchor": lambda frozen: anchor_loss,  # noqa: ARG005  (for a decoder that learns along)
    "l1": lambda frozen: l1_loss,  # noqa: ARG005
    "vgg": _vgg_term,
    "lpips": _lpips_term,
}
