"""Figures of the paper: a labelled sheet of the extractor's feature maps (Figure 5)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.imaging.pixels import pm1_from_01, samples_from_01
from hfdiff.nn.extractor import Extractor

ENDS = (0.01, 0.99)
"""Quantiles of a map that become black and white: single extremes would flatten the rest."""

_LABEL, _GAP = 14, 4  # pixels
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class _Tile:
    samples: NDArray[np.uint8]  # [H, W, 3]
    label: str


def feature_sheet(
    extractor: Extractor, picture_01: Tensor, *, channels: int = 31, columns: int = 8
) -> NDArray[np.uint8]:
    """The picture and feature maps of it, pixel for pixel, each with its channel and range below.

    The maps with the widest ranges are shown, in the order of their channels. Black and white are
    the map's own 1 % and 99 % quantiles, which the label gives.

    Args:
        extractor: H, on the picture's device.
        picture_01: ``[1, 3, H, W]`` in [0, 1], sides of at least 2.
        channels: How many maps are shown; 0: all.
        columns: Tiles in a row.

    Returns:
        ``[rows, columns, 3]``.

    Raises:
        ImageError: for a picture with a side of one pixel.
        SettingsError: for a number of columns or channels that cannot be.
    """
    if columns < 1 or channels < 0:
        raise SettingsError(
            f"columns must be at least 1 and channels at least 0, got {columns} and {channels}"
        )
    if min(picture_01.shape[-2:]) < 2:
        raise ImageError("feature maps need a picture of at least 2x2 pixels")
    with torch.inference_mode():
        maps = extractor(pm1_from_01(picture_01))[0].float().cpu()
    tiles = [_Tile(samples=_samples(picture_01[0]), label="picture")]
    return _sheet(tiles + _map_tiles(maps, channels or len(maps)), columns)


def _map_tiles(maps: Tensor, count: int) -> list[_Tile]:
    # numpy's: torch's refuses more than 16 million values.
    low, high = np.quantile(maps.flatten(1).numpy(), ENDS, axis=1)
    chosen = np.sort(np.argsort(low - high, kind="stable")[:count])
    return [_map_tile(maps[k], int(k), float(low[k]), float(high[k])) for k in chosen]


def _map_tile(values: Tensor, channel: int, low: float, high: float) -> _Tile:
    span = high - low
    # A constant map has no span: it is grey.
    grey_01 = (values - low) / span if span > 0 else torch.full_like(values, 0.5)
    return _Tile(
        samples=_samples(grey_01.expand(3, -1, -1)), label=f"{channel}: {low:.3g} .. {high:.3g}"
    )


def _samples(block_01: Tensor) -> NDArray[np.uint8]:
    return samples_from_01(block_01, np.dtype(np.uint8)).astype(np.uint8, copy=False)


def _sheet(tiles: list[_Tile], columns: int) -> NDArray[np.uint8]:
    columns = min(columns, len(tiles))
    height, width = tiles[0].samples.shape[:2]
    high, wide = height + _LABEL + _GAP, width + _GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, tile in enumerate(tiles):
        top, left = number // columns * high + _GAP, number % columns * wide + _GAP
        sheet.paste(Image.fromarray(tile.samples), (left, top))
        draw.text((left, top + height + 1), _fitting(tile.label, width, font), _INK, font)
    return np.asarray(sheet)


def _fitting(label: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A label no wider than its tile: on narrow ones the range is left out."""
    return label if font.getlength(label) <= width else label.split(":", maxsplit=1)[0]
