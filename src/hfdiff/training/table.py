"""The stages by name, with their settings and what they are trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hfdiff.data.batches import PairBatches
from hfdiff.data.pictures import PictureSet
from hfdiff.data.validation import Pair
from hfdiff.training.loop import Trainer
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Stage
from hfdiff.training.stages.autoencoder import AutoencoderSettings, AutoencoderStage
from hfdiff.training.stages.distill import DistillSettings, DistillStage
from hfdiff.training.stages.extractor import ExtractorSettings, ExtractorStage, labelled_batches
from hfdiff.training.stages.teacher import TeacherSettings, TeacherStage
from hfdiff.training.teacher_results import distill_batches, store_missing


def pair_batches(pictures: PictureSet, settings: RunSettings, **shares: int) -> PairBatches:
    """Pairs of lq and gt; ``shares`` are ``seed``, ``batch``, ``rank`` and ``ranks``."""
    return PairBatches(pictures, settings.data, **shares)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage: what configures it, what makes it, and what it is trained on.

    Attributes:
        settings: Its settings.
        build: Makes it of them and of pairs to validate on.
        batches: Makes its batches of pictures, settings and shares, as `pair_batches` does.
        begin: Done once everything is on its device, before the first step.
        takes_pairs: Whether it validates on pairs of lq and gt, with the metrics of pictures.
    """

    settings: type[RunSettings]
    build: Callable[[Any, list[Pair]], Stage]
    batches: Callable[..., PairBatches] = pair_batches
    begin: Callable[[Trainer, PairBatches], None] | None = None
    takes_pairs: bool = True


STAGES: Mapping[str, StageSpec] = {
    "autoencoder": StageSpec(settings=AutoencoderSettings, build=AutoencoderStage),
    "teacher": StageSpec(settings=TeacherSettings, build=TeacherStage),
    "extractor": StageSpec(
        settings=ExtractorSettings,
        build=lambda settings, pairs: ExtractorStage(settings),  # noqa: ARG005
        batches=labelled_batches,
        takes_pairs=False,
    ),
    "distill": StageSpec(
        settings=DistillSettings,
        build=DistillStage,
        batches=distill_batches,
        begin=store_missing,
    ),
}
