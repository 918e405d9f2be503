"""Which sr belongs to which gt, and both as the tensors that metrics take."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hfdiff.core.errors import ImageError, SettingsError, some_of
from hfdiff.data.names import match_names
from hfdiff.imaging.files import PICTURE_SUFFIXES, read_header, read_picture
from hfdiff.imaging.pixels import samples_to_01


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture to measure.

    Attributes:
        name: Of the sr, from its folder, with / between parts.
        sr: Its file.
        gt: The file it is compared with, None without.
    """

    name: str
    sr: Path
    gt: Path | None


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """All pictures of one evaluation.

    Attributes:
        pairs: In the order of their names.
        left_out: Names of gt pictures that have no sr.
    """

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = ()


def find_pairs(sr: Path, gt: Path | None = None, *, partial: bool = False) -> Pairing:
    """Find the pictures under ``sr`` and for each the one gt that it belongs to.

    Two files are a pair whatever their names. In folders the same name wins, then the same name
    without its extension, then without endings such as _x4, _SR, _LR4 or _HR.

    Args:
        sr: A picture or a folder (with its folders).
        gt: The same kind; None to measure without gt.
        partial: Accept gt pictures that have no sr.

    Raises:
        SettingsError: when something does not exist or holds no pictures, when pictures have no
            partner or several, or sizes differ; with the names.
    """
    results = _pictures(sr)
    if gt is None:
        pairs = [Pair(name=name, sr=path, gt=None) for name, path in results.items()]
        return Pairing(pairs=tuple(pairs))
    truths = _pictures(gt)
    if sr.is_file() and gt.is_file():
        matches = {next(iter(results)): next(iter(truths))}
    elif sr.is_file() != gt.is_file():
        raise SettingsError(f"{sr} and {gt} must both be files or both be folders")
    else:
        matches = match_names(results, truths, "gt belongs to which sr")
    left_out = tuple(sorted(truths.keys() - matches.values()))
    _refuse_widows(results, matches, left_out, partial)
    pairs = [Pair(name=name, sr=results[name], gt=truths[matches[name]]) for name in results]
    _refuse_sizes(pairs)
    return Pairing(pairs=tuple(pairs), left_out=left_out)


def read_rgb_01(path: Path) -> Tensor:
    """A picture as metrics take it: ``[1, 3, H, W]`` float32 in [0, 1], upright.

    Grey becomes RGB; alpha is left out, as the published scripts do; no colour profile is applied.

    Raises:
        ImageError: when it cannot be read.
    """
    picture = samples_to_01(read_picture(path).samples)
    colours = picture[:, :-1] if picture.shape[1] in (2, 4) else picture
    return colours.expand(-1, 3, -1, -1)


def _pictures(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise SettingsError(f"{root} does not exist")
    files = sorted(path for path in root.rglob("*") if _is_picture(path.relative_to(root), path))
    if not files:
        raise SettingsError(f"{root} holds no pictures")
    return {path.relative_to(root).as_posix(): path for path in files}


def _is_picture(relative: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def _refuse_widows(
    results: Iterable[str], matches: dict[str, str], left_out: tuple[str, ...], partial: bool
) -> None:
    hint = "pairs have the same name up to the extension and endings like _x4, _SR, _LR4 or _HR"
    lonely = [name for name in results if name not in matches]
    if lonely:
        raise SettingsError(f"{len(lonely)} sr without a gt: {some_of(lonely)}", hint=hint)
    if left_out and not partial:
        raise SettingsError(
            f"{len(left_out)} gt without an sr: {some_of(list(left_out))}",
            hint="measure only those that are there by --partial; the report will say so",
        )


def _refuse_sizes(pairs: list[Pair]) -> None:
    different = []
    for pair in pairs:
        if pair.gt is None:
            continue
        try:
            sizes = [(h.width, h.height) for h in (read_header(pair.sr), read_header(pair.gt))]
        except ImageError:
            continue  # Reported when it is read, as that picture's failure.
        if sizes[0] != sizes[1]:
            texts = ["{}x{}".format(*size) for size in sizes]
            different.append(f"{pair.name} is {texts[0]}, its gt {texts[1]}")
    if different:
        raise SettingsError(f"sr and gt must have the same size: {some_of(different)}")
