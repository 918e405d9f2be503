"""Pictures for training: found in folders or lists, checked once, kept in memory or read again."""

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.imaging.files import PICTURE_SUFFIXES, read_header, read_picture

_log = logging.getLogger(__name__)


def list_pictures(roots: Iterable[str | Path]) -> list[Path]:
    """Every picture below folders, named in ``.txt`` lists (one path a line), or named itself.

    Lists take comments (#), blank lines, any line ending, and paths relative to the list. A
    picture that is named twice is there once.

    Raises:
        SettingsError: when a root or a listed file does not exist, or a root holds nothing.
    """
    found: dict[str, Path] = {}
    for root in map(Path, roots):
        pictures = _below(root)
        if not pictures:
            raise SettingsError(f"no pictures in {root}")
        for path in pictures:
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100  (links stay as named)
    if not found:
        raise SettingsError("no folder, list or file of pictures is named")
    return list(found.values())


def _below(root: Path) -> list[Path]:
    if root.is_dir():
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        return [path for path in files if path.is_file()]
    if root.suffix.lower() == ".txt" and root.is_file():
        return _listed(root)
    if root.is_file():
        return [root]
    raise SettingsError(f"training data {root} does not exist")


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SettingsError(f"the list {path} must be UTF-8 text: {error}") from error
    found = []
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
        in_memory: Keep decoded pictures; else each is decoded when asked for, and a file that is
            whole at its head and broken behind it is met only then.

    Attributes:
        paths: What can be used, in a fixed order.
        sizes: (width, height) in pixels of each.
        skipped: What cannot be used, with the reason.
    """

    def __init__(
        self, roots: Iterable[str | Path], *, least_side: int, in_memory: bool = True
    ) -> None:
        self.paths: list[Path] = []
        self.sizes: list[tuple[int, int]] = []
        self.skipped: dict[Path, str] = {}
        self._kept: dict[int, NDArray[np.uint8]] = {}
        for path in list_pictures(roots):
            self._consider(path, least_side, in_memory)
        if not self.paths:
            raise SettingsError(
                f"none of {len(self.skipped)} pictures can be used: "
                f"{next(iter(self.skipped.values()))}"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``[H, W, 3]`` uint8 of one picture.

        Raises:
            ImageError: when the file has become unreadable.
        """
        kept = self._kept.get(index)
        return _read_rgb(self.paths[index]) if kept is None else kept

    def report(self) -> list[str]:
        """What is used and what is left out and why, as lines for people."""
        sides = sorted(min(size) for size in self.sizes)
        megapixels = sum(width * height for width, height in self.sizes) / 1e6
        kept = sum(picture.nbytes for picture in self._kept.values()) / 2**20
        place = f"{kept:.0f} MiB of memory" if self._kept else "read when needed"
        lines = [
            f"{len(self)} pictures, {megapixels:.1f} megapixels, shorter sides {sides[0]} to "
            f"{sides[-1]} (median {sides[len(sides) // 2]}), {place}"
        ]
        first = {reason: path for path, reason in reversed(self.skipped.items())}
        for reason, count in Counter(self.skipped.values()).most_common():
            lines.append(f"{count} left out: {reason} ({first[reason]})")
        return lines

    def _consider(self, path: Path, least_side: int, in_memory: bool) -> None:
        try:
            header = read_header(path)
            if min(header.width, header.height) < least_side:
                self.skipped[path] = f"shorter side below {least_side} pixels"
                return
            if in_memory:
                self._kept[len(self.paths)] = _read_rgb(path)
        except ImageError as error:
            self.skipped[path] = str(error)
            return
        self.paths.append(path)
        self.sizes.append((header.width, header.height))


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    samples = read_picture(path).samples
    colour = samples[:, :, : 3 if samples.shape[2] >= 3 else 1]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)), dtype=np.uint8)
