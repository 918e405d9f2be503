"""Large photographs cut into tiles once, so that no training step has to decode a whole one."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.core.rng import numpy_rng
from hfdiff.data.pictures import PictureSet
from hfdiff.imaging.files import write_picture
from hfdiff.imaging.picture import Picture

_log = logging.getLogger(__name__)
SIDE = 512
_WANTED, _MOST = 1200, 24  # tiles of all pictures, and of one
_HELD_OUT, _MOST_HELD_OUT, _ENOUGH = 0.1, 12, 5
_LISTS = ("train.txt", "held_out.txt")


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """What was cut.

    Attributes:
        train: List of the tiles to train on.
        held_out: List of tiles of other pictures, one of each; None where there are too few.
    """

    train: Path
    held_out: Path | None


def cut_tiles(roots: Sequence[str | Path], folder: Path, *, least_side: int) -> Tiles:
    """Cut pictures into tiles of 512 pixels, smaller ones stay whole; done once for a folder.

    A tenth of the pictures, by their names, at most 12, is held out to measure on, where there are
    at least five.

    Raises:
        SettingsError: when no picture can be used.
    """
    train, held_out = (folder / name for name in _LISTS)
    if not train.exists():
        pictures = PictureSet(roots, least_side=least_side, in_memory=False)
        for line in pictures.report():
            _log.info("pictures: %s", line)
        folder.mkdir(parents=True, exist_ok=True)
        apart = _held_out(pictures.paths)
        inside = [k for k, path in enumerate(pictures.paths) if path not in apart]
        most = min(_MOST, max(1, _WANTED // len(inside)))
        _write_list(held_out, _cut(pictures, sorted(apart.values()), folder, "held_out", 1))
        cut = _cut(pictures, inside, folder, "train", most)
        if not cut:
            raise SettingsError("none of the pictures can be read to its end")
        _write_list(train, cut)  # last: it says that all is there
    has_any = bool(held_out.read_text(encoding="utf-8"))
    return Tiles(train=train, held_out=held_out if has_any else None)


def _held_out(paths: Sequence[Path]) -> dict[Path, int]:
    if len(paths) < _ENOUGH:
        return {}
    count = min(_MOST_HELD_OUT, math.ceil(_HELD_OUT * len(paths)))
    order = sorted(
        range(len(paths)), key=lambda k: numpy_rng(0, "held out", paths[k].name).random()
    )
    return {paths[k]: k for k in order[:count]}


def _cut(
    pictures: PictureSet, chosen: Sequence[int], folder: Path, kind: str, most: int
) -> list[str]:
    """Write tiles of some pictures; their names. What cannot be decoded is said and left out."""
    (folder / kind).mkdir(exist_ok=True)
    names = []
    for index in chosen:
        try:
            picture = pictures[index]
        except ImageError as error:
            _log.warning("%s is left out: %s", pictures.paths[index], error)
            continue
        for number, tile in enumerate(_tiles_of(picture, most, index)):
            name = f"{kind}/{index:06d}_{number:02d}.png"
            write_picture(Picture(samples=tile), folder / name, "PNG")
            names.append(name)
    return names


def _tiles_of(picture: NDArray[np.uint8], most: int, index: int) -> list[NDArray[np.uint8]]:
    """Some of a picture's tiles, which do not overlap; the middle one where it is only one."""
    rows, columns = (max(1, side // SIDE) for side in picture.shape[:2])
    height, width = (min(SIDE, side) for side in picture.shape[:2])
    places = [(row, column) for row in range(rows) for column in range(columns)]
    if most == 1:
        places = [(rows // 2, columns // 2)]
    elif len(places) > most:
        order = numpy_rng(0, "tiles", index).permutation(len(places))[:most]
        places = [places[k] for k in sorted(order)]
    top, left = ((side % SIDE if side > SIDE else 0) // 2 for side in picture.shape[:2])
    return [
        np.ascontiguousarray(picture[y : y + height, x : x + width])
        for y, x in ((top + row * SIDE, left + column * SIDE) for row, column in places)
    ]


def _write_list(path: Path, names: Sequence[str]) -> None:
    with replacing(path) as scratch:
        scratch.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
