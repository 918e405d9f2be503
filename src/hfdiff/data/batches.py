"""Batches of (lq, gt) pairs: each sample is a pure function of the seed and its number.

So order, workers and resuming change nothing: the position in the data is one integer.
"""

import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.data.pictures import PictureSet
from hfdiff.degradation.decisions import Decisions, decide
from hfdiff.degradation.pipeline import degrade
from hfdiff.degradation.presets import preset
from hfdiff.imaging.pixels import pm1_from_01, samples_to_01


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What a stage is trained on.

    Attributes:
        root: Folders, ``.txt`` lists or files of gt pictures.
        validation: Folder of gt pictures for validation; "" for none.
        gt_size: Side of the gt patch, pixels.
        scale: gt_size over the side of the lq.
        degradation: A preset of `hfdiff.degradation.presets`.
        in_memory: Keep the decoded pictures in memory.
        workers: Processes that prepare batches; 0: the training process itself.
        limit: Use only the first so many pictures (to see whether it can overfit); 0: all.
    """

    root: tuple[str, ...] = ()
    validation: str = ""
    gt_size: int = 128
    scale: int = 4
    degradation: str = "mixed"
    in_memory: bool = True
    workers: int = 1
    limit: int = 0

    def __post_init__(self) -> None:
        if self.gt_size % self.scale:
            raise SettingsError(
                f"data.gt_size must be a multiple of data.scale {self.scale}, got {self.gt_size}"
            )
        preset(self.degradation, scale=self.scale)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pairs in [-1, 1] and where they are from.

    Attributes:
        lq_pm1: ``[B, 3, s / scale, s / scale]``.
        gt_pm1: ``[B, 3, s, s]``.
        names: The picture of each sample, for messages.
    """

    lq_pm1: Tensor
    gt_pm1: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, stop: int) -> "Batch":
        """Samples start .. stop - 1."""
        return Batch(
            lq_pm1=self.lq_pm1[start:stop],
            gt_pm1=self.gt_pm1[start:stop],
            names=self.names[start:stop],
        )

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(lq_pm1=self.lq_pm1.to(device), gt_pm1=self.gt_pm1.to(device), names=self.names)


class PairBatches(Dataset[Batch]):
    """Batch number n of a run, for n = 0, 1, ...; one rank's share of it.

    Args:
        pictures: Where patches are cut.
        settings: Sizes and degradation.
        seed: The run's seed.
        batch: Samples of the whole batch, over all ranks.
        rank: Which share.
        ranks: How many shares.
    """

    def __init__(
        self,
        pictures: PictureSet,
        settings: DataSettings,
        *,
        seed: int,
        batch: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise SettingsError(f"batch {batch} cannot be shared by {ranks} processes")
        self._pictures = pictures
        self._settings = settings
        self._degradation = preset(settings.degradation, scale=settings.scale)
        self._seed = seed
        self._batch = batch
        share = batch // ranks
        self._share = range(rank * share, (rank + 1) * share)

    def __getitem__(self, number: int) -> Batch:
        samples = [self._sample(number * self._batch + k) for k in self._share]
        gts, decisions, names = zip(*samples, strict=True)
        gt_01 = torch.cat(gts)
        lq_01 = degrade(gt_01, decisions)
        return Batch(gt_pm1=pm1_from_01(gt_01), lq_pm1=pm1_from_01(lq_01), names=names)

    def _sample(self, index: int) -> tuple[Tensor, Decisions, str]:
        count = len(self._pictures)
        count = min(count, self._settings.limit or count)
        order = numpy_rng(self._seed, "order", index // count).permutation(count)
        chosen = int(order[index % count])
        rng = numpy_rng(self._seed, "sample", index)
        gt_01 = samples_to_01(random_patch(self._pictures[chosen], self._settings.gt_size, rng))
        decisions = decide(self._degradation, rng=rng)
        return gt_01, decisions, str(self._pictures.paths[chosen])


def batch_loader(batches: PairBatches, start: int, stop: int, workers: int) -> DataLoader[Batch]:
    """Batches start .. stop - 1 in order, whatever the number of workers."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_prepare_worker if workers else None,
    )


def random_patch(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of ``[H, W, C]``, mirrored and turned at random."""
    top = int(rng.integers(picture.shape[0] - side + 1))
    left = int(rng.integers(picture.shape[1] - side + 1))
    patch = picture[top : top + side, left : left + side]
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    return np.ascontiguousarray(np.rot90(patch, int(rng.integers(4))))


def validation_pairs(
    folder: str | Path, settings: DataSettings, *, seed: int = 0, limit: int = 0
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, lq, gt) as ``[h, w, 3]`` uint8 for a folder of gt pictures, degraded by name.

    Each picture's degradation follows from its name and the seed, not from its place in the folder.
    """
    pictures = PictureSet([folder], least_side=settings.gt_size)
    pairs = []
    for index, path in enumerate(pictures.paths[: limit or None]):
        gt = pictures[index]
        sides = [side // settings.scale * settings.scale for side in gt.shape[:2]]
        gt = np.ascontiguousarray(gt[: sides[0], : sides[1]])
        rng = numpy_rng(seed, "validation", path.stem)
        decisions = decide(preset(settings.degradation, scale=settings.scale), rng=rng)
        lq_01 = degrade(samples_to_01(gt)[0], decisions)
        lq = (lq_01 * 255).round().clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
        pairs.append((path.stem, lq, gt))
    return pairs


def _prepare_worker(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)  # workers beside a training process must not fight it for cores
    for number in (signal.SIGTERM, signal.SIGINT):  # the training process ends them itself
        signal.signal(number, signal.SIG_IGN)
