"""All terms of distillation by name; a term is (DistillInputs) -> unweighted float32 scalar."""

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from hfdiff.losses import perceptual
from hfdiff.losses.distill import (
    consistency_loss,
    covariance_loss,
    distill_loss,
    inverse_loss,
    l1_loss,
)
from hfdiff.losses.inputs import DistillInputs
from hfdiff.nn.features import VGG16, Lpips, Trunk
from hfdiff.nn.pretrained import load_lpips, load_trunk

Loss = Callable[[DistillInputs], Tensor]


class FrozenNets:
    """Frozen feature networks, each loaded when the first term asks for it.

    Args:
        device: Where they compute.
        lpips_stages: Stages of VGG16 that the LPIPS term uses; 5 is LPIPS proper.
        dtype: What their trunks compute in.
    """

    def __init__(
        self, device: torch.device, *, lpips_stages: int = 5, dtype: torch.dtype = torch.float32
    ) -> None:
        self._device = device
        self._dtype = dtype
        self._lpips_stages = lpips_stages

    @cached_property
    def lpips(self) -> Lpips:
        """LPIPS on VGG16."""
        network = load_lpips(VGG16, stages=self._lpips_stages, dtype=self._dtype)
        return network.to(self._device)

    @cached_property
    def vgg(self) -> Trunk:
        """VGG16 up to relu2_2."""
        return load_trunk(VGG16, stages=perceptual.VGG_STAGES).to(self._device)

    def loaded(self) -> list[nn.Module]:
        """The networks that a term has asked for."""
        return [network for network in vars(self).values() if isinstance(network, nn.Module)]


def _lpips_term(frozen: FrozenNets) -> Loss:
    network = frozen.lpips
    return lambda inputs: perceptual.lpips(network, inputs.sr_pm1, inputs.gt_pm1)


def _vgg_term(frozen: FrozenNets) -> Loss:
    network = frozen.vgg
    return lambda inputs: perceptual.vgg(network, inputs.sr_pm1, inputs.gt_pm1)


LOSSES: Mapping[str, Callable[[FrozenNets], Loss]] = {
    "distill": lambda frozen: distill_loss,  # noqa: ARG005  (Eq. 3)
    "inv": lambda frozen: inverse_loss,  # noqa: ARG005  (Eq. 7)
    "cov": lambda frozen: covariance_loss,  # noqa: ARG005  (before con, which then costs less)
    "con": lambda frozen: consistency_loss,  # noqa: ARG005  (Eq. 8)
    "l1": lambda frozen: l1_loss,  # noqa: ARG005
    "vgg": _vgg_term,
    "lpips": _lpips_term,
}
