"""Stage ``extractor``: pretraining of the high-frequency extractor H (Algorithm 2; facts i.2).

H and a classifier head learn to tell classes of pictures, or what was done to them; H alone is
kept. The one term is the cross-entropy of the head's logits, which holds Algorithm 2's soft-max.
"""

import contextlib
import copy
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.core.files import replacing
from hfdiff.data.batches import Batch, DataSettings
from hfdiff.data.labelled import LabelledBatch, LabelledBatches, validation_batches
from hfdiff.data.labels import (
    LabelBook,
    LabelSettings,
    check_validation,
    classes_of,
    held_out,
    read_labels,
)
from hfdiff.data.pictures import PictureSet
from hfdiff.metrics.classification import balanced_accuracy
from hfdiff.model.extractor_file import load_extractor, save_extractor
from hfdiff.model.model_file import ModelCard
from hfdiff.nn.extractor import (
    ClassifierHead,
    ClassifierHeadConfig,
    Extractor,
    ExtractorConfig,
    measure_channel_std,
)
from hfdiff.nn.invertible import BackwardForm
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase

TERM = "cross_entropy"
_SHOWN_CLASSES = 100  # more make no readable table
_SPREAD_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class ExtractorSettings(RunSettings):
    """Settings of stage ``extractor``; ``start`` is an extractor's model file to go on with.

    Attributes:
        extractor: H's sizes; where ``start`` names a file, that one's are.
        head: The classifier behind it, which is not kept.
        labels: What the classes are.
        backward: ``reconstruct`` takes memory that does not grow with H's modules, a little more
            time, and float32 for H whatever the run's precision is.
        spread_pictures: Training pictures over which the spread of H's channels is measured for
            `features.hf_normalize`.
    """

    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    head: ClassifierHeadConfig = field(default_factory=ClassifierHeadConfig)
    labels: LabelSettings = field(default_factory=LabelSettings)
    backward: BackwardForm = "ordinary"
    spread_pictures: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spread_pictures < 1:
            raise SettingsError(f"spread_pictures must be at least 1, got {self.spread_pictures}")
        untouched = DataSettings()
        for name in (
            "scale",
            "degradation",
            "lq_root",
            "validation_lq",
            "crop",
            "draws",
            "pool_batches",
        ):
            if getattr(self.data, name) != getattr(untouched, name):
                raise SettingsError(f"data.{name} means nothing here: H sees pictures at one size")


class ExtractorStage:
    """See the module."""

    best_by = TERM

    def __init__(self, settings: ExtractorSettings) -> None:
        self.settings = settings
        self._book, others = _books(settings)
        self._classes = classes_of(self._book, settings.labels)
        self._validation = _pictures_of(others, settings)
        self._extractor, self._before = _extractor_of(settings)
        self._extractor.invertible.backward_form = settings.backward
        width = self._extractor.config.invertible.width
        self._head = ClassifierHead(settings.head, width, len(self._classes))
        self.phases = (Phase(name="extractor", networks=("extractor", "head")),)

    def networks(self) -> Mapping[str, nn.Module]:
        """H and the head."""
        return {"extractor": self._extractor, "head": self._head}

    def frozen(self) -> list[nn.Module]:
        """Nothing."""
        return []

    def weights(self) -> Mapping[str, float]:
        """Of the one term."""
        return {TERM: 1.0}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Cross-entropy of the batch's classes (Algorithm 2, line 11)."""
        assert isinstance(batch, LabelledBatch)  # what `labelled_batches` makes
        logits = self._head(self._features(batch.lq_pm1))
        return {TERM: F.cross_entropy(logits, batch.labels)}

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """Balanced accuracy on pictures that are not trained on, with its 95 % interval."""
        if self._validation is None:
            return {}
        pictures, book = self._validation
        truth: list[int] = []
        answers: list[int] = []
        originals: list[str] = []
        entropies: list[float] = []
        settings = self.settings
        for batch in validation_batches(
            pictures, settings.data, settings.labels, book, self._classes
        ):
            logits = _told(averaged, batch.lq_pm1)
            entropies += F.cross_entropy(logits, batch.labels, reduction="none").tolist()
            truth += batch.labels.tolist()
            answers += logits.argmax(1).tolist()
            originals += [book.originals[Path(name)] for name in batch.names]
        accuracy = balanced_accuracy(truth, answers, originals, seed=settings.seed)
        self._write_confusion(folder, truth, answers)
        values = {
            TERM: float(np.mean(entropies)),
            "mean/balanced_accuracy": accuracy.mean,
            "chance/balanced_accuracy": 1 / len(set(truth)),
        }
        if accuracy.n > 1:
            values["low/balanced_accuracy"] = accuracy.low
            values["high/balanced_accuracy"] = accuracy.high
        return values

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write H, with the spread of its channels on training pictures."""
        extractor: Any = copy.deepcopy(averaged["extractor"]).eval()
        extractor.to(memory_format=torch.contiguous_format)
        extractor.channel_std.copy_(measure_channel_std(extractor, self._spread_pictures()))
        history = list(self._before.training.get("stages", [])) if self._before else []
        names = self._classes.names
        told: dict[str, Any] = {"labels": self.settings.labels.by, "classes": len(names)}
        told |= {"names": list(names)} if len(names) <= _SHOWN_CLASSES else {}
        card = ModelCard(
            name="extractor",
            licence="Apache-2.0",
            data_terms=self._before.data_terms if self._before else "",
            training={"stages": [*history, {**training, **told}]},
        )
        save_extractor(path, extractor.cpu(), card)

    def _features(self, picture_pm1: Tensor) -> Tensor:
        """H's answer; states cannot be rebuilt through maps that round in half precision."""
        device, rebuilds = picture_pm1.device.type, self.settings.backward == "reconstruct"
        with torch.autocast(device, enabled=False) if rebuilds else contextlib.nullcontext():
            return self._extractor(picture_pm1)

    def _spread_pictures(self) -> Iterator[Tensor]:
        """Patches as they are trained on, of pictures from everywhere in the training set."""
        settings = self.settings
        chosen = _spread(list(self._book.sources), settings.spread_pictures)
        pictures = PictureSet(chosen, least_side=settings.data.gt_size, in_memory=False)
        batches = LabelledBatches(
            pictures,
            settings.data,
            settings.labels,
            self._book,
            self._classes,
            seed=settings.seed,
            batch=_SPREAD_BATCH,
        )
        device = next(self._head.parameters()).device
        for number in range(-(-len(pictures) // _SPREAD_BATCH)):
            yield batches[number].lq_pm1.to(device)

    def _write_confusion(self, folder: Path, truth: list[int], answers: list[int]) -> None:
        """A table of true classes (rows) and answers (columns)."""
        names = self._classes.names
        if len(names) > _SHOWN_CLASSES:
            return
        counts = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(counts, (truth, answers), 1)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            replacing(folder / "confusion.csv") as scratch,
            scratch.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.writer(stream)
            writer.writerow(["class", *names])
            writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))


def labelled_batches(
    pictures: PictureSet, settings: ExtractorSettings, **shares: int
) -> LabelledBatches:
    """The batches that the stage trains on; ``shares`` as of `LabelledBatches`."""
    book, _ = _books(settings)
    classes = classes_of(book, settings.labels)
    return LabelledBatches(pictures, settings.data, settings.labels, book, classes, **shares)


def _books(settings: ExtractorSettings) -> tuple[LabelBook, LabelBook | None]:
    """Labels of what is trained on, and of what is measured on, if anything is."""
    data, labels = settings.data, settings.labels
    book = read_labels(data.root, labels)
    if data.validation:
        others = read_labels([data.validation], labels)
        check_validation(book, others)
        return book, others
    return held_out(book, labels.held_out) if labels.held_out else (book, None)


def _pictures_of(
    book: LabelBook | None, settings: ExtractorSettings
) -> tuple[PictureSet, LabelBook] | None:
    """Pictures to measure on; refused here, not after the first hours."""
    if book is None or not book.sources or not settings.validate_every:
        return None
    chosen = _spread(list(book.sources), settings.validation_pictures)
    pictures = PictureSet(chosen, least_side=settings.data.gt_size, in_memory=False)
    return pictures, book


@torch.inference_mode()
def _told(averaged: Mapping[str, nn.Module], picture_pm1: Tensor) -> Tensor:
    """Logits on the CPU."""
    extractor, head = averaged["extractor"].eval(), averaged["head"].eval()
    device = next(head.parameters()).device
    return head(extractor(picture_pm1.to(device))).cpu()


def _extractor_of(settings: ExtractorSettings) -> tuple[Extractor, ModelCard | None]:
    """The extractor to train, and the card of what it comes from."""
    if not settings.start:
        return Extractor(settings.extractor), None
    extractor, description = load_extractor(Path(settings.start))
    return extractor, description.card


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """So many of them, from everywhere; 0: all."""
    if not limit or limit >= len(paths):
        return paths
    return [paths[k * len(paths) // limit] for k in range(limit)]
