"""Batches of (lq, gt) pairs: each sample is a pure function of the seed and its number.

So order, workers and resuming change nothing: the position in the data is one integer.
"""

import logging
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hfdiff.core.errors import HFDiffError, ImageError, ResourceError, SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.data.pictures import PictureSet
from hfdiff.degradation.decisions import Decisions, decide
from hfdiff.degradation.pipeline import degrade
from hfdiff.degradation.presets import preset
from hfdiff.imaging.pixels import pm1_from_01, samples_from_01, samples_to_01

_log = logging.getLogger(__name__)
_AHEAD = 4  # batches that each worker prepares in advance


def _as_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


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

    root: Annotated[tuple[str, ...], BeforeValidator(_as_several)] = ()
    validation: str = ""
    gt_size: int = 128
    scale: int = 4
    degradation: str = "mixed"
    in_memory: bool = True
    workers: int = 1
    limit: int = 0

    def __post_init__(self) -> None:
        for name, least in (("gt_size", 1), ("scale", 1), ("workers", 0), ("limit", 0)):
            if getattr(self, name) < least:
                raise SettingsError(
                    f"data.{name} must be at least {least}, got {getattr(self, name)}"
                )
        if self.gt_size % self.scale:
            raise SettingsError(
                f"data.gt_size must be a multiple of data.scale {self.scale}, got {self.gt_size}"
            )
        preset(self.degradation, scale=self.scale)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pairs in [-1, 1] and where they are from: a whole batch, or a part of one.

    Attributes:
        lq_pm1: ``[B, 3, s / scale, s / scale]``.
        gt_pm1: ``[B, 3, s, s]``.
        names: The picture of each sample, for messages.
        first: Place of the first sample in the whole batch, over all processes.
        whole: Samples of the whole batch; 0: this is all of it.
    """

    lq_pm1: Tensor
    gt_pm1: Tensor
    names: tuple[str, ...]
    first: int = 0
    whole: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def rows(self) -> slice:
        """Which samples of the whole batch these are."""
        return slice(self.first, self.first + len(self))

    @property
    def whole_size(self) -> int:
        """Samples of the whole batch."""
        return self.whole or len(self)

    def part(self, start: int, stop: int) -> "Batch":
        """Samples start .. stop - 1 of these."""
        return Batch(
            lq_pm1=self.lq_pm1[start:stop],
            gt_pm1=self.gt_pm1[start:stop],
            names=self.names[start:stop],
            first=self.first + start,
            whole=self.whole_size,
        )

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return replace(self, lq_pm1=self.lq_pm1.to(device), gt_pm1=self.gt_pm1.to(device))


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
        self._lost: set[Path] = set()
        share = batch // ranks
        self._share = range(rank * share, (rank + 1) * share)

    def __getitem__(self, number: int) -> Batch:
        samples = [self._sample(number * self._batch + k) for k in self._share]
        gts, decisions, names = zip(*samples, strict=True)
        gt_01 = torch.cat(gts)
        lq_01 = degrade(gt_01, decisions)
        return Batch(
            gt_pm1=pm1_from_01(gt_01),
            lq_pm1=pm1_from_01(lq_01),
            names=names,
            first=self._share.start,
            whole=self._batch,
        )

    def _sample(self, index: int) -> tuple[Tensor, Decisions, str]:
        picture, path = self._picture(index)
        rng = numpy_rng(self._seed, "sample", index)
        gt_01 = samples_to_01(random_patch(picture, self._settings.gt_size, rng))
        decisions = decide(self._degradation, rng=rng)
        return gt_01, decisions, str(path)

    def _picture(self, index: int) -> tuple[NDArray[np.uint8], Path]:
        """The picture of a sample; for one that cannot be read any more, the next in order."""
        count = len(self._pictures)
        count = min(count, self._settings.limit or count)
        order = _order(self._seed, index // count, count)
        for shift in range(count):
            chosen = int(order[(index + shift) % count])
            path = self._pictures.paths[chosen]
            try:
                return self._pictures[chosen], path
            except ImageError as error:
                if path not in self._lost:
                    _log.warning("%s is left out: %s", path, error)
                self._lost.add(path)
        raise ImageError(f"none of the {count} pictures can be read any more")


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return numpy_rng(seed, "order", epoch).permutation(count)


def batch_loader(
    batches: PairBatches,
    start: int,
    stop: int,
    workers: int,
    device: torch.device | None = None,
) -> Generator[Batch]:
    """Batches start .. stop - 1 in order on a device, whatever the number of workers.

    Close it when it is left early: that ends the workers.

    Raises:
        ResourceError: while iterating, when a worker process was ended from outside.
    """
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=cast(Any, _packed) if workers else None,
        worker_init_fn=_prepare_worker if workers else None,
        generator=torch.Generator(),  # torch draws a seed that nothing here uses: not from all's
    )
    return _watched(loader, device or torch.device("cpu"))


def _packed(batch: Batch) -> Batch:
    """For the way between processes and to a device: a quarter of the bytes, where none is lost."""

    def levels(picture_pm1: Tensor) -> Tensor:
        return ((picture_pm1 * 0.5 + 0.5) * 255).round().to(torch.uint8)

    packed = replace(batch, lq_pm1=levels(batch.lq_pm1), gt_pm1=levels(batch.gt_pm1))
    again = _unpacked(packed)
    is_same = torch.equal(again.lq_pm1, batch.lq_pm1) and torch.equal(again.gt_pm1, batch.gt_pm1)
    return packed if is_same else batch


def _unpacked(batch: Batch) -> Batch:
    """The numbers of before `_packed`, to the bit on a CPU."""
    if batch.gt_pm1.dtype != torch.uint8:
        return batch
    lq_pm1, gt_pm1 = (pm1_from_01(levels / 255) for levels in (batch.lq_pm1, batch.gt_pm1))
    return replace(batch, lq_pm1=lq_pm1, gt_pm1=gt_pm1)


def _watched(loader: DataLoader[Batch], device: torch.device) -> Generator[Batch]:
    """A loader's batches on a device; what ended a worker, as one sentence."""
    batches = iter(loader)
    try:
        for batch in batches:
            yield _unpacked(batch.to(device))
    except HFDiffError as error:
        # One from a worker comes with that process's whole traceback as its message.
        reason = str(error).strip().rsplit("Error: ", 1)[-1]
        raise type(error)(reason, hint=error.hint) from error
    except RuntimeError as error:
        raise ResourceError(
            f"preparing a batch failed: {error}",
            hint="data.workers=0 prepares batches in the training process itself",
        ) from error
    finally:
        # torch ends workers when the iterator is forgotten, which a traceback can delay for ever;
        # and they do not heed SIGTERM.
        end = getattr(batches, "_shutdown_workers", None)
        if end is not None:
            end()


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
    """(name, lq, gt) as ``[h, w, 3]`` uint8 of a folder or list of gt pictures, degraded by name.

    Each picture's degradation follows from its name and the seed, not from its place in the folder.

    Raises:
        SettingsError: when the folder has no usable picture.
    """
    degradation = preset(settings.degradation, scale=settings.scale)
    pairs: list[tuple[str, np.ndarray, np.ndarray]] = []
    for path, picture in _readable(folder, settings.gt_size):
        height, width = (side // settings.scale * settings.scale for side in picture.shape[:2])
        gt = np.ascontiguousarray(picture[:height, :width])
        decisions = decide(degradation, rng=numpy_rng(seed, "validation", path.stem))
        lq_01 = degrade(samples_to_01(gt)[0], decisions)
        pairs.append((path.stem, samples_from_01(lq_01, gt.dtype), gt))
        if len(pairs) == limit:
            break
    return pairs


def _readable(root: str | Path, least_side: int) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Pictures one after the other; those that cannot be decoded are said and left out."""
    pictures = PictureSet([root], least_side=least_side, in_memory=False)
    for index, path in enumerate(pictures.paths):
        try:
            picture = pictures[index]
        except ImageError as error:
            _log.warning("%s is left out: %s", path, error)
            continue
        yield path, picture


def _prepare_worker(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)  # workers beside a training process must not fight it for cores
    for number in (signal.SIGTERM, signal.SIGINT):  # the training process ends them itself
        signal.signal(number, signal.SIG_IGN)
