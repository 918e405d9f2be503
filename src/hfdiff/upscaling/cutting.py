"""How a picture is cut into tiles: a function of its size, the model and the options alone."""

import math
from collections.abc import Iterable
from dataclasses import replace

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.resize import Axis
from hfdiff.model.config import ModelConfig
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions, check_growth, target_size
from hfdiff.upscaling.tiles import TilePlan, plan_axis

# How far, in lq pixels, `fidelity` and `alpha` beside this look.
COLOUR_REACH = 7  # three on either side, twice, and one for the enlargement
FIDELITY_REACH = 4  # two of the cubic, one of each of the two linear steps
ALPHA_REACH = 8  # three on either side, twice, and two of the cubic


def plan_tiles(
    size: tuple[int, int], options: UpscaleOptions, config: ModelConfig, *, has_alpha: bool
) -> TilePlan:
    """The tiles of a picture.

    Args:
        size: (width, height) in pixels.
        options: Its enlargement.
        config: The model, whose tile, overlap and halo it is.
        has_alpha: Whether alpha, and the colours it hides, need their margin.

    Raises:
        SettingsError: for sizes and tiles that cannot work.
    """
    wanted = target_size(*size, options, config.scale)
    check_growth(size, wanted)
    tile = config.tile if options.tile is None else options.tile
    overlap = config.overlap if options.overlap is None else options.overlap
    halo = config.halo + (COLOUR_REACH if fixes_colours(options, config) else 0)
    halo += FIDELITY_REACH if options.fidelity else 0
    halo += ALPHA_REACH if has_alpha else 0
    columns, rows = (
        plan_axis(
            length,
            tile=tile or length,
            overlap=overlap,
            halo=halo + _margin(length * config.scale, target, config.scale),
            multiple=config.multiple,
            target=target,
        )
        for length, target in zip(size, wanted, strict=True)
    )
    return TilePlan(rows=rows, columns=columns)


def check_cuts(jobs: Iterable[Job], options: UpscaleOptions, config: ModelConfig) -> None:
    """Refuse options by which no picture at all can be cut, before any is computed.

    Raises:
        SettingsError: as `plan_tiles`.
    """
    reason: SettingsError | None = None
    for job in jobs:
        if job.is_kept:  # it is not cut
            return
        try:
            plan_tiles(job.size, options, config, has_alpha=job.has_alpha)
        except SettingsError as error:
            reason = error
        else:
            return
    if reason is not None:
        raise reason


def smaller_work(
    plan: TilePlan, options: UpscaleOptions, config: ModelConfig, *, has_alpha: bool
) -> tuple[UpscaleOptions, str] | None:
    """Options that need less memory than a plan, and a note on them; None where there are none."""
    if options.batch > 1:
        note = f"out of memory with {options.batch} tiles at once: one at a time"
        return replace(options, batch=1), note
    half = replace(options, tile=max(1, plan.side // 2))
    size = (plan.columns.length, plan.rows.length)
    try:
        smaller = plan_tiles(size, half, config, has_alpha=has_alpha).side
    except SettingsError:  # too small for the overlap
        return None
    note = f"out of memory with tiles of {plan.side} pixels: {smaller} instead"
    return (half, note) if smaller < plan.side else None


def fixes_colours(options: UpscaleOptions, config: ModelConfig) -> bool:
    """Whether answers get their lq's low-passed colours: by the user's word, or the model's."""
    return config.color_fix if options.color_fix is None else options.color_fix


def _margin(source: int, target: int, scale: int) -> int:
    """Pixels of the lq that the final resize needs around a tile; 0 where there is none."""
    if source == target:
        return 0
    return math.ceil(Axis(source=source, target=target).support / scale) + 1
