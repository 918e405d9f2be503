"""The stages by name, with their settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Stage
from hfdiff.training.stages.autoencoder import AutoencoderSettings, AutoencoderStage
from hfdiff.training.stages.distill import DistillSettings, DistillStage
from hfdiff.training.stages.teacher import TeacherSettings, TeacherStage
from hfdiff.training.validation import Pair


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage: what configures it and what makes it."""

    settings: type[RunSettings]
    build: Callable[[Any, list[Pair]], Stage]


STAGES: Mapping[str, StageSpec] = {
    "autoencoder": StageSpec(settings=AutoencoderSettings, build=AutoencoderStage),
    "teacher": StageSpec(settings=TeacherSettings, build=TeacherStage),
    "distill": StageSpec(settings=DistillSettings, build=DistillStage),
}
