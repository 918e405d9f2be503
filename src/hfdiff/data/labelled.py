"""Batches of patches with their classes, for pretraining the extractor (Algorithm 2).

As in `hfdiff.data.batches`, every sample is a pure function of the seed and its number.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.data.batches import Batch, DataSettings, PairBatches, random_patch
from hfdiff.data.labels import Classes, LabelBook, LabelSettings, degradation_of
from hfdiff.data.pictures import PictureSet
from hfdiff.degradation.decisions import Decisions
from hfdiff.degradation.pipeline import degrade
from hfdiff.imaging.pixels import pm1_from_01, samples_to_01

_log = logging.getLogger(__name__)
# Of the random resized crop: share of the picture's area, and sides' ratio.
_AREA, _RATIO, _TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
_AROUND = 256 / 224  # what is cut around a validation patch of the resized crop


@dataclass(frozen=True, kw_only=True)
class LabelledBatch(Batch):
    """Patches as they are (gt), as they are shown (lq, the same size), and their classes.

    Attributes:
        labels: Numbers of classes, int64 ``[B]``.
    """

    labels: Tensor

    def part(self, start: int, stop: int) -> "LabelledBatch":
        """Samples start .. stop - 1 of these."""
        part = vars(super().part(start, stop))
        return LabelledBatch(**{**part, "labels": self.labels[start:stop]})

    def to(self, device: torch.device) -> "LabelledBatch":
        """The same on another device."""
        moved = vars(super().to(device))
        return LabelledBatch(**{**moved, "labels": self.labels.to(device)})


class LabelledBatches(PairBatches):
    """Batch number n of a run, for n = 0, 1, ...; one rank's share of it.

    Args:
        pictures: Where patches are cut.
        data: Their side.
        settings: What the classes are.
        book: The class of every picture that is trained on; others are left out.
        classes: All classes.
        shares: ``seed``, ``batch``, ``rank`` and ``ranks`` of `PairBatches`.
    """

    def __init__(
        self,
        pictures: PictureSet,
        data: DataSettings,
        settings: LabelSettings,
        book: LabelBook,
        classes: Classes,
        **shares: int,
    ) -> None:
        super().__init__(pictures, data, **shares)
        self._labels = settings
        self._classes = classes
        number = {source: k for k, source in enumerate(classes.sources)}
        used = [index for index, path in enumerate(pictures.paths) if path in book.sources]
        used = used[: data.limit or None]
        if not used:
            raise SettingsError("no picture of data.root can be trained on")
        self._source = {index: number[book.sources[pictures.paths[index]]] for index in used}
        groups: dict[int, list[int]] = defaultdict(list)
        for index in used:
            groups[self._source[index] if settings.balanced else 0].append(index)
        self._groups = [groups[k] for k in sorted(groups)]

    def __getitem__(self, number: int) -> LabelledBatch:
        samples = [self._labelled(number * self._batch + k) for k in self._share]
        gts, decisions, labels, names = zip(*samples, strict=True)
        return _batch_of(
            gts, decisions, labels, names=names, first=self._share.start, whole=self._batch
        )

    def _labelled(self, index: int) -> tuple[Tensor, Decisions, int, str]:
        chosen, picture = self._chosen(index)
        rng = numpy_rng(self._seed, "sample", index)
        cut = random_patch if self._labels.crop == "plain" else resized_crop
        gt_01 = samples_to_01(cut(picture, self._settings.gt_size, rng))
        kind = int(rng.integers(len(self._classes.kinds)))
        decisions = degradation_of(self._classes.kinds[kind], rng)
        label = self._classes.number(self._source[chosen], kind)
        return gt_01, decisions, label, str(self._pictures.paths[chosen])

    def _chosen(self, index: int) -> tuple[int, NDArray[np.uint8]]:
        """The picture of a sample; for one that cannot be read any more, the next of its group.

        Groups take turns in an order that changes from round to round, pictures in theirs.
        """
        turn, place = divmod(index, len(self._groups))
        group = int(_order(self._seed, -1, turn, len(self._groups))[place])
        members = self._groups[group]
        order = _order(self._seed, group, turn // len(members), len(members))
        for shift in range(len(members)):
            chosen = members[int(order[(turn + shift) % len(members)])]
            try:
                return chosen, self._pictures[chosen]
            except ImageError as error:
                self._leave_out(self._pictures.paths[chosen], error)
        raise ImageError(f"none of {len(members)} pictures can be read any more")

    def _leave_out(self, path: Path, error: ImageError) -> None:
        if path not in self._lost:
            _log.warning("%s is left out: %s", path, error)
        self._lost.add(path)


def validation_batches(
    pictures: PictureSet,
    data: DataSettings,
    settings: LabelSettings,
    book: LabelBook,
    classes: Classes,
) -> Iterator[LabelledBatch]:
    """One batch a picture: its middle, shown once for every kind of degradation.

    What is done to a picture follows from its name, not from its place. Pictures that cannot be
    decoded are said and left out.
    """
    for path, (picture,) in pictures.readable():
        gt_01 = samples_to_01(_middle(picture, data.gt_size, resized=settings.crop == "resized"))
        source = classes.sources.index(book.sources[path])
        samples = [
            (
                degradation_of(kind, numpy_rng(0, "validation", path.stem, kind)),
                classes.number(source, number),
            )
            for number, kind in enumerate(classes.kinds)
        ]
        decisions, labels = zip(*samples, strict=True)
        count = len(classes.kinds)
        yield _batch_of((gt_01,) * count, decisions, labels, names=(str(path),) * count)


def resized_crop(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of 8 to 100 % of ``[H, W, C]``, resized to a square and mirrored at random."""
    height, width = picture.shape[:2]
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*_AREA)
        ratio = np.exp(rng.uniform(*np.log(_RATIO)))
        wide, high = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            break
    else:
        wide = high = min(width, height)
    top, left = (int(rng.integers(n + 1)) for n in (height - high, width - wide))
    part = picture[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return _resized(part, side, side)


def _middle(picture: np.ndarray, side: int, *, resized: bool) -> np.ndarray:
    if resized:
        factor = side * _AROUND / min(picture.shape[:2])
        height, width = (max(side, round(n * factor)) for n in picture.shape[:2])
        picture = _resized(picture, height, width)
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    planes = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float()
    resized = F.interpolate(
        planes, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round().clamp(0, 255).byte()[0].movedim(0, -1).numpy()


def _batch_of(
    gts: tuple[Tensor, ...],
    decisions: tuple[Decisions, ...],
    labels: tuple[int, ...],
    **where: Any,
) -> LabelledBatch:
    gt_01 = torch.cat(gts)
    shown = degrade(gt_01, decisions) if any(one.steps for one in decisions) else gt_01
    return LabelledBatch(
        gt_pm1=pm1_from_01(gt_01),
        lq_pm1=pm1_from_01(shown),
        labels=torch.tensor(labels),
        **where,
    )


@lru_cache(maxsize=4096)
def _order(seed: int, group: int, turn: int, count: int) -> NDArray[np.int64]:
    return numpy_rng(seed, "group", group, turn).permutation(count)
