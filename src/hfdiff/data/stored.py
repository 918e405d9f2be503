"""A fixed set of training samples with the teacher's answers to them (spec 5.2), kept in a folder.

A teacher of many steps costs more than the student's training step; over a fixed set it is asked
once for each sample. A folder holds files of `CHUNK` samples, each written whole or not at all, and
``about.json`` with what they depend on. A sample is lq, gt, the seed of its noise, and the answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.core.rng import derive, numpy_rng
from hfdiff.core.weights import write_weights
from hfdiff.data.batches import Batch, DataSettings, PairBatches
from hfdiff.data.pictures import PictureSet
from hfdiff.imaging.pixels import pm1_from_01

CHUNK = 32
_ABOUT = "about.json"
_NAMES = "names"


@dataclass(frozen=True, kw_only=True)
class StoredBatch(Batch):
    """Pairs with the noise of their starts and what the teacher makes of these.

    Attributes:
        noise: Standard normal ``[B, C_z, h, w]``.
        x_0_teacher: The same shape.
    """

    noise: Tensor
    x_0_teacher: Tensor

    def part(self, start: int, stop: int) -> "StoredBatch":
        """Samples start .. stop - 1 of these."""
        part = vars(super().part(start, stop))
        noise, x_0 = self.noise[start:stop], self.x_0_teacher[start:stop]
        return StoredBatch(**{**part, "noise": noise, "x_0_teacher": x_0})

    def to(self, device: torch.device) -> "StoredBatch":
        """The same on another device."""
        moved = vars(super().to(device))
        noise, x_0 = self.noise.to(device), self.x_0_teacher.to(device)
        return StoredBatch(**{**moved, "noise": noise, "x_0_teacher": x_0})


class StoredBatches(PairBatches):
    """Batch number n of a run over the first samples of its data, again and again.

    Every epoch shows each of them once, in an order of its own.

    Args:
        pictures: Where patches are cut, until their results are stored.
        data: Sizes and degradation.
        folder: Where results are.
        count: Samples of the set.
        shares: ``seed``, ``batch``, ``rank`` and ``ranks`` of `PairBatches`.
    """

    def __init__(
        self, pictures: PictureSet, data: DataSettings, *, folder: Path, count: int, **shares: int
    ) -> None:
        super().__init__(pictures, data, **shares)
        self.folder = folder
        self.count = count
        self._source = PairBatches(pictures, data, seed=self._seed, batch=CHUNK)

    def check(self, about: Mapping[str, Any]) -> None:
        """Write down what results depend on, or compare it with what is written.

        Raises:
            SettingsError: when the folder's results are of something else, naming it.
        """
        path = self.folder / _ABOUT
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as scratch:
                scratch.write_text(json.dumps(dict(about), indent=2) + "\n", encoding="utf-8")
            return
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} cannot be read: {error}") from error
        other = [key for key in about if written.get(key) != about[key]]
        if other:
            raise SettingsError(
                f"the stored teacher results in {self.folder} were made with another "
                f"{', '.join(other)}",
                hint="name another stored_folder, or remove this one",
            )

    def missing(self) -> list[int]:
        """Numbers of the chunks that are not stored yet."""
        return [k for k in range(-(-self.count // CHUNK)) if not self._path(k).exists()]

    def pairs_of(self, chunk: int) -> Batch:
        """The pairs of a chunk, to ask the teacher about."""
        return self._source[chunk].part(0, min(CHUNK, self.count - chunk * CHUNK))

    def noise_of(self, chunk: int, size: int, shape: tuple[int, ...]) -> Tensor:
        """The noise of a chunk's samples, ``[size, *shape]``."""
        return torch.stack([_noise(seed, shape) for seed in self._seeds(chunk, size)])

    def keep(self, chunk: int, pairs: Batch, x_0_teacher: Tensor) -> None:
        """Store a chunk with the teacher's answers ``[B, C_z, h, w]``."""
        tensors = {
            "lq": _levels(pairs.lq_pm1),
            "gt": _levels(pairs.gt_pm1),
            "noise_seed": torch.tensor(self._seeds(chunk, len(pairs))),
            "x_0_teacher": x_0_teacher.float(),
        }
        write_weights(self._path(chunk), tensors, {_NAMES: json.dumps(pairs.names)})

    def __getitem__(self, number: int) -> StoredBatch:
        samples = [self._stored(number * self._batch + k) for k in self._share]
        columns = {key: torch.cat([s[0][key] for s in samples]) for key in ("lq", "gt")}
        answers = torch.cat([s[0]["x_0_teacher"] for s in samples])
        seeds = [int(s[0]["noise_seed"]) for s in samples]
        return StoredBatch(
            lq_pm1=pm1_from_01(columns["lq"] / 255),
            gt_pm1=pm1_from_01(columns["gt"] / 255),
            names=tuple(name for _, name in samples),
            first=self._share.start,
            whole=self._batch,
            noise=torch.stack([_noise(seed, tuple(answers.shape[1:])) for seed in seeds]),
            x_0_teacher=answers,
        )

    def _stored(self, index: int) -> tuple[dict[str, Tensor], str]:
        """Tensors of a sample, each with a batch axis, and the name of its picture."""
        epoch, place = divmod(index, self.count)
        chunk, row = divmod(int(_order(self._seed, epoch, self.count)[place]), CHUNK)
        path = self._path(chunk)
        try:
            with safe_open(path, framework="pt") as file:
                names = json.loads(file.metadata()[_NAMES])
                tensors = {key: file.get_slice(key)[row : row + 1] for key in file.keys()}  # noqa: SIM118
                return tensors, names[row]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"the stored teacher results {path} cannot be read: {error}",
                hint="remove that file, and they are computed again",
            ) from error

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.safetensors"

    def _seeds(self, chunk: int, size: int) -> list[int]:
        first = chunk * CHUNK
        return [derive(self._seed, "teacher noise", first + k) for k in range(size)]


def _noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(numpy_rng(seed, "normal").standard_normal(shape, dtype=np.float32))


def _levels(picture_pm1: Tensor) -> Tensor:
    return ((picture_pm1.cpu() * 0.5 + 0.5) * 255).round().to(torch.uint8)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return numpy_rng(seed, "stored order", epoch).permutation(count)
