"""How a picture is cut into tiles: a function of its size, the model and the options alone."""

import math

from hfdiff.imaging.resize import Axis
from hfdiff.model.config import ModelConfig
from hfdiff.upscaling.options import UpscaleOptions, check_growth, target_size
from hfdiff.upscaling.tiles import TilePlan, plan_axis

_ALPHA_MARGIN = 3  # lq pixels that the cubic of the alpha channel reaches


def plan_tiles(
    size: tuple[int, int], options: UpscaleOptions, config: ModelConfig, *, has_alpha: bool
) -> TilePlan:
    """The tiles of a picture.

    Args:
        size: (width, height) in pixels.
        options: Its enlargement.
        config: The model, whose tile, overlap and halo it is.
        has_alpha: Whether alpha, which is resized beside the network, needs its margin.

    Raises:
        SettingsError: for sizes and tiles that cannot work.
    """
    wanted = target_size(*size, options, config.scale)
    check_growth(size, wanted)
    tile = config.tile if options.tile is None else options.tile
    overlap = config.overlap if options.overlap is None else options.overlap
    least = _ALPHA_MARGIN if has_alpha else 0
    columns, rows = (
        plan_axis(
            length,
            tile=tile or length,
            overlap=overlap,
            halo=max(least, config.halo + _margin(length * config.scale, target, config.scale)),
            multiple=config.multiple,
            target=target,
        )
        for length, target in zip(size, wanted, strict=True)
    )
    return TilePlan(rows=rows, columns=columns)


def _margin(source: int, target: int, scale: int) -> int:
    """Pixels of the lq that the final resize needs around a tile; 0 where there is none."""
    if source == target:
        return 0
    return math.ceil(Axis(source=source, target=target).support / scale) + 1
