"""One picture being enlarged: what the network sees of it, and what its answers become."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import Samples, samples_from_01
from hfdiff.imaging.resize import Axis, resample
from hfdiff.upscaling.alpha import fill_hidden, join_alpha
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.tiles import Tile, TilePlan

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One picture being enlarged: what is read, how it is cut, what it becomes.

    ``redone`` says of each tile that was computed again in float32 what was wrong with it.
    """

    picture: Picture
    plan: TilePlan
    options: UpscaleOptions
    redone: list[str] = field(default_factory=list)

    @property
    def target_size(self) -> tuple[int, int]:
        """(width, height) of the output."""
        return self.plan.columns.target, self.plan.rows.target


@dataclass(frozen=True, kw_only=True)
class Account:
    """How an enlargement came about.

    Attributes:
        options: What was asked, with the tile and batch that were used in the end; these, asked
            for, give the same bytes.
        size: (width, height) of the source.
        target_size: The same of the result.
        tiles: How many tiles were computed; 0 where it was large enough as it was.
        tile: Their longer side in lq pixels.
        retries: How often something was computed again: whole pictures by smaller tiles when
            memory ran out, single tiles in float32.
        notes: What of that there is to say.
    """

    options: UpscaleOptions
    size: tuple[int, int]
    target_size: tuple[int, int]
    tiles: int
    tile: int = 0
    retries: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Enlarged(Account):
    """An enlarged picture in memory, with the metadata and notes of its source."""

    picture: Picture


class SampleSink:
    """The output in memory at its own bit depth; finished blocks are rounded into it."""

    def __init__(self, work: Work) -> None:
        source = work.picture.samples
        shape = (work.plan.rows.target, work.plan.columns.target, work.picture.channels)
        self.samples: Samples = np.empty(shape, dtype=source.dtype)

    def write(self, top: int, left: int, block_01: Tensor) -> None:
        """Round a block ``[C, h, w]`` into its place."""
        height, width = block_01.shape[1:]
        place = self.samples[top : top + height, left : left + width]
        place[...] = samples_from_01(block_01, self.samples.dtype)


class RowSink:
    """The output as rows: blocks side by side are passed on once they span the picture.

    Args:
        work: Whose output it is; blocks come in the order of its plan.
        take: Called with the next rows, ``[h, W, C]`` of the picture's own type. Later ones may
            take their place in memory: one buffer for all leaves no holes.
    """

    def __init__(self, work: Work, take: Callable[[Samples], None]) -> None:
        self._take = take
        source, rows = work.picture.samples, work.plan.rows
        shape = (rows.most_finished, work.plan.columns.target, source.shape[2])
        self._rows: Samples = np.empty(shape, dtype=source.dtype)

    def write(self, top: int, left: int, block_01: Tensor) -> None:  # noqa: ARG002
        """Round a block ``[C, h, w]`` into its rows, which begin where the last ones ended."""
        height, width = block_01.shape[1:]
        self._rows[:height, left : left + width] = samples_from_01(block_01, self._rows.dtype)
        if left + width == self._rows.shape[1]:
            self._take(self._rows[:height])


def colour_of(window_01: Tensor) -> Tensor:
    """The three channels that the network sees; what does not show is filled from near by."""
    colour = fill_hidden(window_01) if _has_alpha(window_01) else window_01
    return colour.expand(-1, 3, -1, -1)


def finish(work: Work, tile: Tile, window_01: Tensor, sr_01: Tensor) -> Tensor:
    """A tile's result on the target's grid, in the picture's own channels, cut to what is kept."""
    scale = sr_01.shape[-1] // window_01.shape[-1]
    if work.picture.channels < 3:
        sr_01 = sr_01.mean(1, keepdim=True)
    if not _has_alpha(window_01):
        return _on_target(work.plan, tile, sr_01, scale)[0]
    result = _on_target(work.plan, tile, join_alpha(sr_01, window_01), scale)
    if any(axis.target != axis.length * scale for axis in (work.plan.rows, work.plan.columns)):
        # Resized once: there and back again would soften it.
        result[:, -1:] = _on_target(work.plan, tile, window_01[:, -1:], 1)
    return result[0]


def _has_alpha(window_01: Tensor) -> bool:
    return window_01.shape[1] in (2, 4)


def _on_target(plan: TilePlan, tile: Tile, picture: Tensor, scale: int) -> Tensor:
    """Kept rows and columns of a tile whose pixels are ``scale`` to an lq pixel."""
    for dim, axis, start, k in (
        (-2, plan.rows, tile.rows.start, tile.row),
        (-1, plan.columns, tile.columns.start, tile.column),
    ):
        low, high = axis.intervals[k]
        origin, source = start * scale, axis.length * scale
        if source == axis.target:
            picture = picture.narrow(dim, low - origin, high - low)
        else:
            size = Axis(source=source, target=axis.target)
            picture = resample(picture, dim, size, low, high, origin=origin)
    return picture
