"""Batches of (lq, gt) pairs: each sample is a pure function of the seed and its number.

So order, workers and resuming change nothing: the position in the data is one integer.
"""

import logging
import signal
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hfdiff.core.errors import HFDiffError, ImageError, ResourceError, SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.data.pictures import PairedSet, PictureSet
from hfdiff.data.published import PoolOrder, batch_decisions
from hfdiff.degradation.crops import crop_gt, decide_crop, softened
from hfdiff.degradation.decisions import Decisions, decide
from hfdiff.degradation.pipeline import degrade
from hfdiff.degradation.presets import preset
from hfdiff.imaging.pixels import pm1_from_01, samples_to_01

_log = logging.getLogger(__name__)
_AHEAD = 4  # batches that each worker prepares in advance


def _as_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What a stage is trained on.

    Attributes:
        root: Folders, ``.tar`` shards, ``.txt`` lists or files of gt pictures.
        lq_root: The same of their lq pictures, which have their names; empty: lq are made.
        validation: Folder of gt pictures for validation; "" for none.
        validation_lq: The same of their lq pictures, which have their names; "": lq are made.
        gt_size: Side of the gt patch, pixels.
        scale: gt_size over the side of the lq.
        degradation: A preset of `hfdiff.degradation.presets`, for lq that are made.
        crop: ``native`` cuts a square at the picture's own scale, mirrored and turned at random;
            ``published`` shrinks the largest square of the picture, which may be mirrored, and
            mirrors pictures that are too small up to gt_size (facts f.1).
        soft: Share of the gt of a ``native`` crop that is cut smaller and enlarged by 1.2 to 1.8:
            as soft as a camera's own pixels are, and a picture shrunk for the web is not.
        draws: Whether each sample is degraded in a way of its own, or a whole batch in one, as
            published: then only kernels, levels and qualities are a sample's own.
        pool_batches: Batches that a pool holds to mix samples over time, published 10; 0: no pool.
        in_memory: Keep the decoded pictures in memory.
        workers: Processes that prepare batches; 0: the training process itself.
        limit: Use only the first so many pictures (to see whether it can overfit); 0: all.
    """

    root: Annotated[tuple[str, ...], BeforeValidator(_as_several)] = ()
    lq_root: Annotated[tuple[str, ...], BeforeValidator(_as_several)] = ()
    validation: str = ""
    validation_lq: str = ""
    gt_size: int = 128
    scale: int = 4
    degradation: str = "mixed"
    crop: Literal["native", "published"] = "native"
    soft: float = 0.0
    draws: Literal["sample", "batch"] = "sample"
    pool_batches: int = 0
    in_memory: bool = True
    workers: int = 1
    limit: int = 0

    def __post_init__(self) -> None:
        leasts = {"gt_size": 1, "scale": 1, "workers": 0, "limit": 0, "pool_batches": 0}
        for name, least in leasts.items():
            if getattr(self, name) < least:
                raise SettingsError(
                    f"data.{name} must be at least {least}, got {getattr(self, name)}"
                )
        if self.gt_size % self.scale:
            raise SettingsError(
                f"data.gt_size must be a multiple of data.scale {self.scale}, got {self.gt_size}"
            )
        if not 0 <= self.soft <= 1:
            raise SettingsError(f"data.soft is a share from 0 to 1, got {self.soft}")
        if self.soft and self.crop == "published":
            raise SettingsError("data.soft is of crop native: published crops are shrunk")
        preset(self.degradation, scale=self.scale)
        made = (self.crop, self.soft, self.draws, self.pool_batches) != ("native", 0, "sample", 0)
        if self.lq_root and made:
            raise SettingsError(
                "data.lq_root gives lq pictures: data.crop, data.soft, data.draws and "
                "data.pool_batches are of lq that are made"
            )
        if self.validation_lq and not self.validation:
            raise SettingsError("data.validation_lq needs data.validation, the gt of its pictures")
        if self.lq_root and self.validation and not self.validation_lq:
            raise SettingsError(
                "data.lq_root gives lq pictures, so data.validation needs given ones, too",
                hint="name their folder: data.validation_lq=FOLDER",
            )

    @property
    def least_side(self) -> int:
        """Of pictures that can be used, pixels."""
        return 1 if self.crop == "published" else self.gt_size

    def pictures(self) -> PictureSet:
        """What is trained on, found and looked at.

        Raises:
            SettingsError: as `PictureSet` and `PairedSet`.
        """
        given: dict[str, Any] = {"least_side": self.least_side, "in_memory": self.in_memory}
        if self.lq_root:
            return PairedSet(self.root, self.lq_root, scale=self.scale, **given)
        return PictureSet(self.root, **given)


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
        kept = settings.pool_batches
        self._pool = PoolOrder(seed, batch, kept) if kept else None

    def __getitem__(self, number: int) -> Batch:
        first = number * self._batch
        order = range(first, first + self._batch) if self._pool is None else self._pool[number]
        chosen = [order[k] for k in self._share]
        if isinstance(self._pictures, PairedSet):
            lqs, gts, names = zip(*map(self._given_pair, chosen), strict=True)
            lq_01, gt_01 = torch.cat(lqs), torch.cat(gts)
        else:
            gts, decisions, names = zip(*map(self._sample, chosen), strict=True)
            gt_01 = torch.cat(gts)
            lq_01 = degrade(gt_01, decisions)
        return Batch(
            gt_pm1=pm1_from_01(gt_01),
            lq_pm1=pm1_from_01(lq_01),
            names=names,
            first=self._share.start,
            whole=self._batch,
        )

    def first_pairs(self, count: int) -> Batch:
        """The run's first pairs, to look at: neither pooled nor shared with other processes."""
        alone = replace(self._settings, pool_batches=0)
        return PairBatches(self._pictures, alone, seed=self._seed, batch=count)[0]

    def _sample(self, index: int) -> tuple[Tensor, Decisions, str]:
        """Patch ``[1, 3, s, s]`` in [0, 1], what happens to it, and the picture's name."""
        chosen, (picture,) = self._read(index)
        side, rng = self._settings.gt_size, numpy_rng(self._seed, "sample", index)
        if self._settings.crop == "published":
            height, width = picture.shape[:2]
            crop = decide_crop(height, width, gt_size=side, rng=rng)
            gt_01 = crop_gt(picture, crop, gt_size=side)[None]
        else:
            gt_01 = samples_to_01(random_patch(picture, side, rng))
            if self._settings.soft and rng.random() < self._settings.soft:
                gt_01 = softened(gt_01, rng)
        if self._settings.draws == "batch":
            number, row = divmod(index, self._batch)
            every = batch_decisions(
                self._degradation, seed=self._seed, batch=self._batch, number=number
            )
            decisions = every[row]
        else:
            decisions = decide(self._degradation, rng=rng)
        return gt_01, decisions, str(self._pictures.paths[chosen])

    def _given_pair(self, index: int) -> tuple[Tensor, Tensor, str]:
        """The same square of a lq and its gt, ``[1, 3, s, s]`` each, in [0, 1]."""
        chosen, (gt, lq) = self._read(index)
        rng = numpy_rng(self._seed, "sample", index)
        scale = self._settings.scale
        lq, gt = random_pair(lq, gt, self._settings.gt_size // scale, scale, rng)
        return samples_to_01(lq), samples_to_01(gt), str(self._pictures.paths[chosen])

    def _read(self, index: int) -> tuple[int, tuple[NDArray[np.uint8], ...]]:
        """Number and pictures of a sample; of one that cannot be read any more, of the next."""
        count = len(self._pictures)
        count = min(count, self._settings.limit or count)
        order = _order(self._seed, index // count, count)
        for shift in range(count):
            chosen = int(order[(index + shift) % count])
            path = self._pictures.paths[chosen]
            try:
                return chosen, self._pictures.read(chosen)
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
        collate_fn=cast(Any, _sent) if workers else None,
        worker_init_fn=_prepare_worker if workers else None,
        generator=torch.Generator(),  # torch draws a seed that nothing here uses: not from all's
    )
    return _watched(loader, device or torch.device("cpu"))


def _sent(batch: Batch) -> tuple[type[Batch], dict[str, Any]]:
    """For the pipe between processes.

    Tensors would go through shared memory: in containers 64 MB, and 32 published crops are 27.
    """
    values = vars(_packed(batch)).items()
    return type(batch), {n: v.numpy() if isinstance(v, Tensor) else v for n, v in values}


def _received(kind: type[Batch], values: dict[str, Any]) -> Batch:
    tensors = {n: torch.from_numpy(v) for n, v in values.items() if isinstance(v, np.ndarray)}
    return kind(**{**values, **tensors})


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
        for loaded in batches:
            batch = _received(*loaded) if isinstance(loaded, tuple) else loaded
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
    return random_pair(picture, picture, side, 1, rng)[0]


def random_pair(
    lq: np.ndarray, gt: np.ndarray, side: int, scale: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same random square of two ``[H, W, C]``, ``side`` pixels of the lq; mirrored, turned."""
    top = int(rng.integers(lq.shape[0] - side + 1))
    left = int(rng.integers(lq.shape[1] - side + 1))
    mirrored = slice(None, None, -1 if rng.random() < 0.5 else 1)
    turns = int(rng.integers(4))

    def cut(picture: np.ndarray, factor: int) -> np.ndarray:
        y, x, length = top * factor, left * factor, side * factor
        square = picture[y : y + length, x : x + length][:, mirrored]
        return np.ascontiguousarray(np.rot90(square, turns))

    return cut(lq, 1), cut(gt, scale)


def _prepare_worker(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)  # workers beside a training process must not fight it for cores
    for number in (signal.SIGTERM, signal.SIGINT):  # the training process ends them itself
        signal.signal(number, signal.SIG_IGN)
