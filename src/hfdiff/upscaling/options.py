"""What a user may ask of an enlargement and its files, and the size that follows. No torch here."""

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias

from hfdiff.core.errors import SettingsError

LARGEST_SCALE = 16
Size: TypeAlias = tuple[int | None, int | None]
"""(width, height) in pixels; one of them None where it does not matter."""


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Options of one enlargement.

    Attributes:
        scale: Output size over input size, 1..16; None: the model's own factor.
        size: Exact output size (width, height) in pixels; one of them None: by proportion.
        min_size: Enlarge until (width, height) are reached, one of them may be None; a picture
            that reaches them already is kept as it is.
        max_size: Enlarge no further than to (width, height), one of them may be None; a picture
            that reaches them already is kept as it is.
        seed: Of the noise field; the same seed gives the same picture.
        steps: Denoising steps; a one-step student takes 1.
        tile: Tile side in lq pixels; None: the model's default, 0: the whole picture at once.
        overlap: lq pixels that tiles share; None: the model's default.
        batch: At most so many tiles at once.
        fidelity: 0 is the model as it is, 1 the plain enlargement held to the lq; between them high
            bands are mixed and low ones taken from the lq.
        color_fix: Whether the answer is given the low-passed colours of its lq; None: as the model
            file says.
    """

    scale: float | None = None
    size: Size | None = None
    min_size: Size | None = None
    max_size: Size | None = None
    seed: int = 0
    steps: int = 1
    tile: int | None = None
    overlap: int | None = None
    batch: int = 1
    fidelity: float = 0.0
    color_fix: bool | None = None

    def __post_init__(self) -> None:
        _check_types(self)
        _exclude("scale", self.scale, "size", self.size)
        _exclude("size", self.size, "min_size", self.min_size)
        _exclude("size", self.size, "max_size", self.max_size)
        _exclude("scale", self.scale, "min_size", self.min_size)
        if self.scale is not None and not 1 <= self.scale <= LARGEST_SCALE:
            raise SettingsError(f"scale must lie in 1..{LARGEST_SCALE}, got {self.scale}")
        for name, size in (
            ("size", self.size),
            ("min_size", self.min_size),
            ("max_size", self.max_size),
        ):
            sides = [side for side in size or () if side is not None]
            if size is not None and (not sides or min(sides) < 1):
                raise SettingsError(f"{name} needs a width or a height of at least 1, got {size}")
        for name, value, least in (
            ("tile", self.tile, 0),
            ("overlap", self.overlap, 0),
            ("batch", self.batch, 1),
            ("steps", self.steps, 1),
        ):
            if value is not None and value < least:
                raise SettingsError(f"{name} must be at least {least}, got {value}")


def _check_types(options: UpscaleOptions) -> None:
    """Options come from Python too, where nothing keeps a text from standing for a number."""
    for name in ("seed", "steps", "batch", "tile", "overlap"):
        value = getattr(options, name)
        may_lack = value is None and name in ("tile", "overlap")
        if not may_lack and not isinstance(value, Integral):
            raise SettingsError(f"{name} must be a whole number, got {value!r}")
    fidelity: Any = options.fidelity
    if not isinstance(fidelity, Real) or not 0 <= float(fidelity) <= 1:
        raise SettingsError(f"fidelity must be a number from 0 to 1, got {fidelity!r}")
    if not isinstance(options.color_fix, bool | None):
        raise SettingsError(f"color_fix must be True, False or None, got {options.color_fix!r}")
    scale: Any = options.scale
    if not isinstance(scale, Real | None):
        raise SettingsError(f"scale must be a number, got {scale!r}")
    size: Any = options.size
    is_pair = isinstance(size, tuple | list) and len(size) == 2
    if size is not None and not (is_pair and all(isinstance(s, Integral | None) for s in size)):
        raise SettingsError(f"size must be (width, height) in whole pixels, got {size!r}")


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are named and written.

    Attributes:
        output: A file (for one input), a folder, or None: beside the source.
        is_folder: Whether the output is a folder whatever it is called.
        format: A key of FORMATS, or None: the source's own, PNG where that cannot be written.
        suffix: Put behind the name; None: ``_x4`` beside the source, nothing elsewhere.
        overwrite: Whether existing outputs are made anew.
        resume: Whether outputs of an earlier run, by the same model and options, count as done.
        recursive: Whether folders are entered.
    """

    output: Path | None = None
    is_folder: bool = False
    format: str | None = None
    suffix: str | None = None
    overwrite: bool = False
    resume: bool = False
    recursive: bool = True

    def __post_init__(self) -> None:
        if self.overwrite and self.resume:
            raise SettingsError("overwrite and resume exclude each other, got both")
        suffix = self.suffix or ""
        if "\0" in suffix or set(suffix) & {"/", os.sep, os.altsep}:
            raise SettingsError(f"a suffix is a part of a name and no path, got {suffix!r}")


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How outputs are encoded, and what they say of themselves.

    Attributes:
        quality: 1..100 for lossy formats; None: each format's default.
        strip_metadata: Whether nothing is carried over but the ICC profile.
        provenance: Whether model, options and seed are stated in the output's XMP.
    """

    quality: int | None = None
    strip_metadata: bool = False
    provenance: bool = True


def target_size(
    width: int, height: int, options: UpscaleOptions, model_scale: int
) -> tuple[int, int]:
    """Output (width, height) in pixels: floor(side * scale + 0.5), or the exact size asked for."""
    if options.size is None:
        scale = _scale(width, height, options, model_scale)
        return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))
    wanted_width, wanted_height = options.size
    if wanted_width is None and wanted_height is not None:
        wanted_width = max(1, math.floor(width * wanted_height / height + 0.5))
    if wanted_height is None and wanted_width is not None:
        wanted_height = max(1, math.floor(height * wanted_width / width + 0.5))
    if wanted_width is None or wanted_height is None:
        raise SettingsError("size needs a width or a height")
    return wanted_width, wanted_height


def is_kept(width: int, height: int, options: UpscaleOptions, model_scale: int) -> bool:
    """Whether a picture (width, height) is large enough already, and is not enlarged at all."""
    bounded = options.min_size is not None or options.max_size is not None
    return bounded and target_size(width, height, options, model_scale) == (width, height)


def _scale(width: int, height: int, options: UpscaleOptions, model_scale: int) -> float:
    """Output size over input size, where no exact size is asked for."""
    scale = float(model_scale if options.scale is None else options.scale)
    if options.min_size is not None:
        scale = max(1.0, *_ratios(options.min_size, width, height))
    if options.max_size is not None:
        scale = max(1.0, min(scale, *_ratios(options.max_size, width, height)))
    return scale


def _ratios(size: Size, width: int, height: int) -> list[float]:
    sides = zip(size, (width, height), strict=True)
    return [wanted / side for wanted, side in sides if wanted is not None]


def _exclude(name: str, value: object, other: str, other_value: object) -> None:
    if value is not None and other_value is not None:
        raise SettingsError(f"{name} and {other} exclude each other, got both")


def check_growth(source: tuple[int, int], target: tuple[int, int]) -> None:
    """Refuse outputs (width, height) that are smaller than their source, or too many times larger.

    Raises:
        SettingsError: naming both sizes.
    """
    sizes = "{}x{} is {{}} {}x{}".format(*target, *source)
    if target[0] < source[0] or target[1] < source[1]:
        raise SettingsError(sizes.format("smaller than the input") + "; hfdiff enlarges")
    if target[0] > LARGEST_SCALE * source[0] or target[1] > LARGEST_SCALE * source[1]:
        raise SettingsError(sizes.format(f"more than {LARGEST_SCALE} times the input"))


def parse_size(text: str | None) -> Size | None:
    """``1920x1080``, ``1920x`` or ``x1080`` as (width, height); None stays None.

    Raises:
        SettingsError: for any other text.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part == "" or part.isdecimal() for part in parts):
        raise SettingsError(f"size is WIDTHxHEIGHT, WIDTHx or xHEIGHT in pixels, got {text!r}")
    width, height = (int(part) if part else None for part in parts)
    return width, height
