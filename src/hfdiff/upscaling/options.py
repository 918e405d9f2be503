"""What a user may ask of an enlargement and its files, and the size that follows. No torch here."""

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from hfdiff.core.errors import SettingsError

LARGEST_SCALE = 16


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Options of one enlargement.

    Attributes:
        scale: Output size over input size, 1..16; None: the model's own factor.
        size: Exact output size (width, height) in pixels; one of them None: by proportion.
        seed: Of the noise field; the same seed gives the same picture.
        steps: Denoising steps; a one-step student takes 1.
        tile: Tile side in lq pixels; None: the model's default, 0: the whole picture at once.
        overlap: lq pixels that tiles share; None: the model's default.
        batch: Tiles computed at once.
    """

    scale: float | None = None
    size: tuple[int | None, int | None] | None = None
    seed: int = 0
    steps: int = 1
    tile: int | None = None
    overlap: int | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        _check_types(self)
        if self.scale is not None and self.size is not None:
            raise SettingsError("scale and size exclude each other, got both")
        if self.scale is not None and not 1 <= self.scale <= LARGEST_SCALE:
            raise SettingsError(f"scale must lie in 1..{LARGEST_SCALE}, got {self.scale}")
        sides = [side for side in self.size or () if side is not None]
        if self.size is not None and (not sides or min(sides) < 1):
            raise SettingsError(f"size needs a width or a height of at least 1, got {self.size}")
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
        recursive: Whether folders are entered.
    """

    output: Path | None = None
    is_folder: bool = False
    format: str | None = None
    suffix: str | None = None
    overwrite: bool = False
    recursive: bool = True

    def __post_init__(self) -> None:
        suffix = self.suffix or ""
        if "\0" in suffix or set(suffix) & {"/", os.sep, os.altsep}:
            raise SettingsError(f"a suffix is a part of a name and no path, got {suffix!r}")


def target_size(
    width: int, height: int, options: UpscaleOptions, model_scale: int
) -> tuple[int, int]:
    """Output (width, height) in pixels: floor(side * scale + 0.5), or the exact size asked for."""
    if options.size is None:
        scale = model_scale if options.scale is None else options.scale
        return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))
    wanted_width, wanted_height = options.size
    if wanted_width is None and wanted_height is not None:
        wanted_width = max(1, math.floor(width * wanted_height / height + 0.5))
    if wanted_height is None and wanted_width is not None:
        wanted_height = max(1, math.floor(height * wanted_width / width + 0.5))
    if wanted_width is None or wanted_height is None:
        raise SettingsError("size needs a width or a height")
    return wanted_width, wanted_height


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


def parse_size(text: str) -> tuple[int | None, int | None]:
    """``1920x1080``, ``1920x`` or ``x1080`` as (width, height).

    Raises:
        SettingsError: for any other text.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part == "" or part.isdecimal() for part in parts):
        raise SettingsError(f"size is WIDTHxHEIGHT, WIDTHx or xHEIGHT in pixels, got {text!r}")
    width, height = (int(part) if part else None for part in parts)
    return width, height
