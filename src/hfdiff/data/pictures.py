"""Pictures for training: found in folders, lists and tar shards, kept in memory or read again.

A picture in a shard has the path of the shard with its name behind: ``shard.tar/cats/1.jpg``.
Nothing is ever unpacked: names inside an archive are names only.
"""

import io
import logging
import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, SettingsError, some_of
from hfdiff.data.names import match_names
from hfdiff.imaging.files import PICTURE_SUFFIXES, read_header, read_picture
from hfdiff.imaging.picture import in_8_bit

_log = logging.getLogger(__name__)
_SHARD = ".tar"
# What systems put beside pictures, some of it under the names of pictures.
_OF_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
_LOOKED_AT = 20_000  # headers that are read at the start where nothing depends on sizes


def list_pictures(roots: Iterable[str | Path]) -> list[Path]:
    """Every picture below folders, in ``.tar`` shards, named in ``.txt`` lists, or named itself.

    Hidden files and what systems put beside pictures are passed over. Lists take comments (#),
    blank lines, any line ending, and paths relative to the list. A picture that is named twice is
    there once.

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
        files = sorted(_walk(str(root)), key=lambda file: file.split("/"))
        return [p for file in map(Path, files) for p in _inside(file)]
    if root.suffix.lower() == ".txt" and root.is_file():
        return _listed(root)
    if root.is_file():
        return _inside(root)
    if _is_there(root):
        return [root]
    raise SettingsError(f"training data {root} does not exist")


def _walk(folder: str) -> Iterator[str]:
    """Files below a folder that name a picture or a shard; links to folders are not followed.

    Plain text and not `Path`: of a million files that is half a minute.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_passed_over(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif _is_wanted(entry.name) and entry.is_file():
                yield entry.path


def _is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden or a system's own."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _is_wanted(name: str) -> bool:
    return name.lower().endswith((*PICTURE_SUFFIXES, _SHARD))


def _is_shard(path: Path) -> bool:
    return path.suffix.lower() == _SHARD


def _inside(file: Path) -> list[Path]:
    """The pictures of a shard; any other file itself."""
    return [file / name for name in _members(file)] if _is_shard(file) else [file]


@cache
def _members(shard: Path) -> Mapping[str, tuple[int, int]]:
    """Place and length of each picture in an uncompressed archive, in its order.

    Raises:
        SettingsError: when it cannot be read as one.
    """
    try:
        with tarfile.open(shard, "r:") as archive:
            found = [one for one in archive if one.isreg() and not one.issparse()]
            return {
                PurePosixPath(one.name).as_posix(): (one.offset_data, one.size)
                for one in found
                if _is_picture_name(PurePosixPath(one.name))
            }
    except (tarfile.TarError, OSError) as error:
        raise SettingsError(
            f"the shard {shard} cannot be read: {error}",
            hint="shards are plain .tar files, not compressed",
        ) from error


def _is_picture_name(name: PurePosixPath) -> bool:
    """Whether a member may be used: a picture, and no name that would leave the shard."""
    if name.is_absolute() or any(map(_is_passed_over, name.parts)):
        return False
    return _is_wanted(name.name) and not _is_shard(Path(name))


def _shard_of(path: Path) -> Path | None:
    if _SHARD not in str(path).lower():  # a million paths are looked at, hardly any in a shard
        return None
    return next((p for p in path.parents if _is_shard(p) and p.is_file()), None)


def _is_there(path: Path) -> bool:
    shard = _shard_of(path)
    inside = shard is not None and path.relative_to(shard).as_posix() in _members(shard)
    return inside or path.is_file()


def opened_picture(path: Path) -> Path | IO[bytes]:
    """What the readers of pictures take: a file's path, or the bytes of a shard's picture.

    Raises:
        ImageError: when the shard is not there any more.
    """
    shard = _shard_of(path)
    if shard is None:
        return path
    try:
        place, size = _members(shard)[path.relative_to(shard).as_posix()]
        with shard.open("rb") as stream:
            stream.seek(place)
            return io.BytesIO(stream.read(size))
    except (OSError, KeyError) as error:
        raise ImageError(f"{path} cannot be read: {error}") from error


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SettingsError(f"the list {path} must be UTF-8 text: {error}") from error
    found, folder, names = [], str(path.parent), _Names()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        picture = os.path.join(folder, text)  # noqa: PTH118  (a million lines, see _walk)
        if not names.has(picture) and not _is_there(Path(picture)):
            raise SettingsError(f"{path}, line {number}: {text} does not exist")
        found.append(Path(picture))
    return found


class _Names:
    """What lies in folders, asked of each once: a look-up for each of a million lines is dear."""

    def __init__(self) -> None:
        self._in: dict[str, set[str]] = {}

    def has(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._in:
            try:
                self._in[folder] = set(os.listdir(folder))  # noqa: PTH208
            except OSError:
                self._in[folder] = set()
        return name in self._in[folder]


class PictureSet:
    """Readable training pictures, as RGB of 8 bit.

    Args:
        roots: Folders, lists, files.
        least_side: Pictures with a shorter side are left out and counted.
        in_memory: Keep decoded pictures; else each is decoded when asked for, and a file that is
            whole at its head and broken behind it is met only then. Of very many pictures, where
            any side will do, only so manieth are looked at before.

    Attributes:
        paths: What can be used, in a fixed order.
        sizes: (width, height) in pixels of each that was looked at.
        skipped: What cannot be used, with the reason.
    """

    def __init__(
        self, roots: Iterable[str | Path], *, least_side: int, in_memory: bool = True
    ) -> None:
        self.paths: list[Path] = []
        self.sizes: list[tuple[int, int]] = []
        self.skipped: dict[Path, str] = {}
        self._kept: dict[int, NDArray[np.uint8]] = {}
        found = list_pictures(roots)
        every = 1 if in_memory or least_side > 1 else -(-len(found) // _LOOKED_AT)
        for number, path in enumerate(found):
            if number % every:
                self.paths.append(path)
            else:
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

    def read(self, index: int) -> tuple[NDArray[np.uint8], ...]:
        """All pictures of one sample: here the gt alone. Raises as asking for that does."""
        return (self[index],)

    def readable(self) -> Iterator[tuple[Path, tuple[NDArray[np.uint8], ...]]]:
        """Path and what `read` gives, in order; what cannot be decoded is said and left out."""
        for index, path in enumerate(self.paths):
            try:
                pictures = self.read(index)
            except ImageError as error:
                _log.warning("%s is left out: %s", path, error)
                continue
            yield path, pictures

    def report(self) -> list[str]:
        """What is used and what is left out and why, as lines for people."""
        sides = sorted(min(size) for size in self.sizes)
        megapixels = sum(width * height for width, height in self.sizes) / 1e6
        kept = sum(picture.nbytes for picture in self._kept.values()) / 2**20
        place = f"{kept:.0f} MiB of memory" if self._kept else "read when needed"
        looked_at = "" if len(self.sizes) == len(self) else f" ({len(self.sizes)} looked at)"
        lines = [
            f"{len(self)} pictures{looked_at}, {megapixels:.1f} megapixels, shorter sides "
            f"{sides[0]} to {sides[-1]} (median {sides[len(sides) // 2]}), {place}"
        ]
        first = {reason: path for path, reason in reversed(self.skipped.items())}
        for reason, count in Counter(self.skipped.values()).most_common():
            lines.append(f"{count} left out: {reason} ({first[reason]})")
        return lines

    def _consider(self, path: Path, least_side: int, in_memory: bool) -> None:
        try:
            header = read_header(opened_picture(path))
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


class PairedSet(PictureSet):
    """Pairs of gt and lq pictures, found by their names (see `match_names`).

    A pair of which one file is broken is left out and counted; everything else that is amiss is
    named before the first step.

    Args:
        roots: Of gt pictures.
        lq_roots: Of lq pictures.
        scale: Sides of a gt over those of its lq.
        least_side: As in `PictureSet`, of the gt.
        in_memory: As in `PictureSet`, of both.

    Raises:
        SettingsError: naming pictures without a partner, and pairs whose sizes do not fit.
    """

    def __init__(
        self,
        roots: Iterable[str | Path],
        lq_roots: Iterable[str | Path],
        *,
        scale: int,
        least_side: int,
        in_memory: bool = True,
    ) -> None:
        gts, lqs = (_by_name(each) for each in (roots, lq_roots))
        partners = match_names(lqs, gts, "gt belongs to which lq")
        _refuse_lonely(lqs.keys() - partners.keys(), "lq without a gt")
        _refuse_lonely(gts.keys() - set(partners.values()), "gt without a lq")
        self.scale = scale
        lq_of = {gt: lqs[lq] for lq, gt in partners.items()}
        # In the order of the gt: that of matches differs between processes.
        self._lq_of = {path: lq_of[gt] for gt, path in gts.items()}
        self._lq_kept: dict[Path, NDArray[np.uint8]] = {}
        self._misfits: list[str] = []
        super().__init__([*self._lq_of], least_side=least_side, in_memory=in_memory)
        if self._misfits:
            raise SettingsError(
                f"a gt must be {scale} times as large as its lq: {some_of(self._misfits, 3)}"
            )

    def read(self, index: int) -> tuple[NDArray[np.uint8], ...]:
        """The gt and its lq, ``[H, W, 3]`` and ``[h, w, 3]`` uint8.

        Raises:
            ImageError: when one of the files has become unreadable.
        """
        path = self._lq_of[self.paths[index]]
        kept = self._lq_kept.get(path)
        return self[index], _read_rgb(path) if kept is None else kept

    def _consider(self, path: Path, least_side: int, in_memory: bool) -> None:
        lq = self._lq_of[path]
        try:
            small, large = (read_header(opened_picture(each)) for each in (lq, path))
            sides = (small.width, small.height), (large.width, large.height)
            if sides[1] != (sides[0][0] * self.scale, sides[0][1] * self.scale):
                told = ["{}x{}".format(*each) for each in sides]
                self._misfits.append(f"{path} is {told[1]}, its lq {told[0]}")
            if in_memory:
                self._lq_kept[lq] = _read_rgb(lq)
        except ImageError as error:
            self.skipped[path] = str(error)
            return
        super()._consider(path, least_side, in_memory)


def _by_name(roots: Iterable[str | Path]) -> dict[str, Path]:
    """Pictures by their names below the root that they are from."""
    found: dict[str, Path] = {}
    for root in map(Path, roots):
        for path in list_pictures([root]):
            below = path.relative_to(root) if root.is_dir() or _is_shard(root) else Path(path.name)
            name = below.as_posix()
            if name in found:
                raise SettingsError(f"{found[name]} and {path} have one name, {name}")
            found[name] = path
    return found


def _refuse_lonely(names: Iterable[str], what: str) -> None:
    lonely = sorted(names)
    if lonely:
        raise SettingsError(
            f"{len(lonely)} {what}: {some_of(lonely, 3)}",
            hint="pairs have the same name up to the extension and endings like _x4, _LR4 or _HR",
        )


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    samples = in_8_bit(read_picture(opened_picture(path)).samples)
    colour = samples[:, :, : 3 if samples.shape[2] >= 3 else 1]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))
