"""The pairs that a run is validated on: whole pictures, always the same ones."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hfdiff.core.rng import numpy_rng
from hfdiff.data.batches import DataSettings
from hfdiff.data.pictures import PairedSet, PictureSet
from hfdiff.degradation.decisions import decide
from hfdiff.degradation.pipeline import degrade
from hfdiff.degradation.presets import preset
from hfdiff.imaging.pixels import samples_from_01, samples_to_01

Pair = tuple[str, np.ndarray, np.ndarray]


def validation_pairs(
    folder: str | Path, settings: DataSettings, *, seed: int = 0, limit: int = 0
) -> list[Pair]:
    """(name, lq, gt) as ``[h, w, 3]`` uint8 of a folder or list of gt pictures.

    Their lq are those of ``settings.validation_lq`` where that is named; else they are made: each
    picture's degradation follows from its name and the seed, not from its place in the folder.

    Raises:
        SettingsError: when the folder has no usable picture, and as `PairedSet`.
    """
    given = bool(settings.validation_lq)
    found = _given(folder, settings) if given else _made(folder, settings, seed)
    return list(itertools.islice(found, limit or None))


def _given(folder: str | Path, settings: DataSettings) -> Iterator[Pair]:
    pictures = PairedSet(
        [folder],
        [settings.validation_lq],
        scale=settings.scale,
        least_side=settings.gt_size,
        in_memory=False,
    )
    for path, (gt, lq) in pictures.readable():
        yield path.stem, lq, gt


def _made(folder: str | Path, settings: DataSettings, seed: int) -> Iterator[Pair]:
    degradation = preset(settings.degradation, scale=settings.scale)
    pictures = PictureSet([folder], least_side=settings.gt_size, in_memory=False)
    for path, (picture,) in pictures.readable():
        height, width = (side // settings.scale * settings.scale for side in picture.shape[:2])
        gt = np.ascontiguousarray(picture[:height, :width])
        decisions = decide(degradation, rng=numpy_rng(seed, "validation", path.stem))
        lq_01 = degrade(samples_to_01(gt)[0], decisions)
        yield path.stem, samples_from_01(lq_01, gt.dtype), gt
