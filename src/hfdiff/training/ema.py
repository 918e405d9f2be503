"""Averaged weights: what is validated and shipped (spec 5.5)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(networks: nn.Module, decay: float, *, warm_up: bool) -> AveragedModel:
    """A copy of networks that will follow them; it starts as their start weights (facts e.6)."""
    model = AveragedModel(networks, multi_avg_fn=moving_average(decay, warm_up=warm_up))
    model.n_averaged.fill_(1)  # at 0 torch would copy the weights behind the first step instead
    return model


def moving_average(decay: float, *, warm_up: bool) -> Callable[..., None]:
    """How averaged weights follow: e <- d e + (1 - d) w.

    With ``warm_up`` the decay d of update n is at most (1 + n) / (10 + n), so that short runs are
    not averages of their start; the published trainings have none (facts e.6).
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: int | Tensor) -> None:
        n = int(count)
        d = min(decay, (1 + n) / (10 + n)) if warm_up else decay
        torch._foreach_lerp_(averaged, current, 1 - d)

    return update
