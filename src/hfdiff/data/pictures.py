"""Pictures for training: found in folders or lists, checked once, kept in memory or read again."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.imaging.files import PICTURE_SUFFIXES, read_header, read_picture

_log = logging.getLogger(__name__)


def list_pictures(roots: Iterable[str | Path]) -> list[Path]:
    """Every picture below folders, named in ``.txt`` lists (one path a line), or named itself.

    Lists take comments (#), blank lines and paths relative to the list.

    Raises:
        SettingsError: when a root or a listed file does not exist, or nothing is found.
    """
    found: list[Path] = []
    for root in map(Path, roots):
        if root.is_dir():
            files = sorted(path for path in root.rglob("*") if path.is_file())
            found += [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
        elif root.suffix == ".txt" and root.is_file():
            found += _listed(root)
        elif root.is_file():
            found.append(root)
        else:
            raise SettingsError(f"training data {root} does not exist")
    if not found:
        raise SettingsError(f"no pictures in {', '.join(str(root) for root in roots)}")
    return list(dict.fromkeys(found))


def _listed(path: Path) -> list[Path]:
    found = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        picture = path.parent / text
        if not picture.is_file():
            raise SettingsError(f"{path}, line {number}: {text} does not exist")
        found.append(picture)
    return found


class PictureSet:
    """Readable training pictures, as RGB of 8 bit.

    Args:
        roots: Folders, lists, files.
        least_side: Pictures with a shorter side are left out and counted.
        in_memory: Keep decoded pictures; else each is decoded when asked for.

    Attributes:
        paths: What can be used, in a fixed order.
        skipped: What cannot, with the reason.
    """

    def __init__(
        self, roots: Iterable[str | Path], *, least_side: int, in_memory: bool = True
    ) -> None:
        self.paths: list[Path] = []
        self.skipped: dict[Path, str] = {}
        self._kept: dict[int, NDArray[np.uint8]] = {}
        for path in list_pictures(roots):
            self._consider(path, least_side, in_memory)
        if not self.paths:
            raise SettingsError(
                f"none of {len(self.skipped)} pictures can be used: "
                f"{next(iter(self.skipped.values()))}"
            )
        if self.skipped:
            _log.warning("%d of the pictures are left out", len(self.skipped))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``[H, W, 3]`` uint8 of one picture."""
        kept = self._kept.get(index)
        return _read_rgb(self.paths[index]) if kept is None else kept

    def _consider(self, path: Path, least_side: int, in_memory: bool) -> None:
        try:
            header = read_header(path)
            if min(header.width, header.height) < least_side:
                self.skipped[path] = f"shorter side below {least_side} pixels"
                return
            if in_memory:
                self._kept[len(self.paths)] = _read_rgb(path)
            self.paths.append(path)
        except ImageError as error:
            self.skipped[path] = str(error)


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    samples = read_picture(path).samples
    colour = samples[:, :, : 3 if samples.shape[2] >= 3 else 1]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)), dtype=np.uint8)
