"""What the loop asks of a stage (style 3.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hfdiff.data.batches import Batch
from hfdiff.training.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of each step that has its own networks and optimiser.

    Attributes:
        name: For logs and checkpoints.
        networks: Names of the networks that it trains; the others are frozen meanwhile.
        every: It runs in every so manieth step.
    """

    name: str
    networks: tuple[str, ...]
    every: int = 1


class Stage(Protocol):
    """One of the four trainings; the loop owns everything that is not particular to one."""

    @property
    def settings(self) -> RunSettings:
        """The run's settings."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases of a step, in order."""

    @property
    def best_by(self) -> str:
        """Name of the value of `validate` by which weights are kept as the best: the lowest."""

    def networks(self) -> Mapping[str, nn.Module]:
        """Trained networks by name; the loop places, averages, saves and restores them."""

    def frozen(self) -> list[nn.Module]:
        """Networks that are used but not trained; the loop places them."""

    def weights(self) -> Mapping[str, float]:
        """Weight of every raw term, by the term's name."""

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Raw terms of a phase: unweighted float32 scalars, means over the batch."""

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """Metrics of the averaged weights; pictures of them go to the folder."""

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write the model file of the averaged weights."""
