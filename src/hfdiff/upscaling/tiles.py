"""Cut a picture into overlapping tiles and blend their results by weights that sum to one.

One axis at a time: tile k keeps an interval of the target; where intervals overlap, results are
blended. Blending is a chain of steps  acc <- acc + r_k (new - acc)  with
r_k = w_k / (w_0 + ... + w_k), which is the weighted mean, and where all tiles agree it returns
their value to the bit. Finished pixels go to the sink at once; only overlaps are kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.errors import SettingsError

WeightFunction = Callable[["AxisPlan", int], Tensor]


class Sink(Protocol):
    """Where finished pixels go."""

    def write(self, top: int, left: int, block_01: Tensor) -> None:
        """Take a finished rectangle ``[C, h, w]`` whose corner is at (top, left) of the target."""


@dataclass(frozen=True, kw_only=True)
class AxisPlan:
    """Tiles along one axis.

    Attributes:
        length: Picture length in lq pixels.
        tile: Tile length in lq pixels; longer than the picture where that had to be padded.
        starts: First lq pixel of each tile, ascending.
        halo: lq pixels at inner tile ends that the result must not use.
        target: Output length in pixels.
        overlap: lq pixels that neighbours share (more where the last tile was moved inwards).
        whole_overlap: Whether a last tile that was moved inwards is blended over all that it shares
            with the one before, as the published wrapper does; else over the usual overlap only,
            so that no more has to be kept for it than for any other.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    halo: int
    target: int
    overlap: int
    whole_overlap: bool = False

    @property
    def ratio(self) -> float:
        """Output pixels per lq pixel."""
        return self.target / self.length

    def kept(self, k: int) -> tuple[int, int]:
        """Half-open interval of output pixels that tile k contributes to."""
        first, last = k == 0, k == len(self.starts) - 1
        begin = self.starts[k] + self.halo
        if last and not first and not self.whole_overlap:
            begin = max(begin, self.starts[k - 1] + self.tile - self.overlap + self.halo)
        low = 0 if first else int(np.ceil(begin * self.ratio))
        end = self.starts[k] + self.tile - self.halo
        high = self.target if last else int(np.floor(end * self.ratio))
        return low, high

    @cached_property
    def intervals(self) -> tuple[tuple[int, int], ...]:
        """`kept` of every tile."""
        return tuple(self.kept(k) for k in range(len(self.starts)))

    def finished_before(self, k: int) -> int:
        """First output pixel that tile k or a later one touches; the end after the last."""
        return self.intervals[k][0] if k < len(self.starts) else self.target

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Of every tile the output pixel before which all is finished with it."""
        return tuple(self.finished_before(k + 1) for k in range(len(self.starts)))

    @cached_property
    def most_finished(self) -> int:
        """The most output pixels that one tile finishes."""
        return max(end - low for end, (low, _) in zip(self.ends, self.intervals, strict=True))

    def final_weights(self, weight: WeightFunction) -> list[Tensor]:
        """Per tile the share of each of its kept pixels in the result; they sum to one."""
        shares = [torch.ones(high - low, dtype=torch.float64) for low, high in self.intervals]
        for k, (low, high) in enumerate(self.intervals):
            step = blend_steps(self, k, weight).double()
            shares[k] *= step
            for j in range(k):
                begin, end = max(low, self.intervals[j][0]), min(high, self.intervals[j][1])
                if begin < end:
                    inner = slice(begin - self.intervals[j][0], end - self.intervals[j][0])
                    shares[j][inner] *= 1.0 - step[begin - low : end - low]
        return shares


def plan_axis(
    length: int,
    *,
    tile: int,
    overlap: int,
    halo: int = 0,
    multiple: int = 1,
    target: int,
    whole_overlap: bool = False,
) -> AxisPlan:
    """Tiles of equal length that cover ``length`` lq pixels, the last one moved inwards to fit.

    A picture shorter than the tile is one tile, padded up to ``multiple``. The starts are the
    published ones for chop = tile and stride = tile - overlap (facts h.1).

    Args:
        length: Picture length, lq pixels.
        tile: Wanted tile length; rounded up to ``multiple``.
        overlap: Wanted overlap; raised to what the halo needs.
        halo: See `AxisPlan`.
        multiple: What the network's sides must be multiples of.
        target: Output length, pixels.
        whole_overlap: See `AxisPlan`.

    Raises:
        SettingsError: when no tile of that length can advance.
    """
    tile = _round_up(tile, multiple)
    if length <= tile:
        padded = _round_up(length, multiple)
        return AxisPlan(
            length=length, tile=padded, starts=(0,), halo=halo, target=target, overlap=0
        )
    # Where a tile's kept end falls between two output pixels, two lq pixels bridge the gap.
    asked, overlap = overlap, max(overlap, 2 * halo + (2 if target % length else 0))
    stride = tile - overlap
    if stride < 1:
        raise SettingsError(
            f"a tile of {tile} pixels is too small for an overlap of {overlap}"
            + (", which this model and these options need" if overlap > asked else ""),
            hint=f"use --tile {_round_up(2 * overlap, multiple)} or more, or --tile 0 for none",
        )
    count = -(-(length - tile) // stride) + 1
    starts = tuple(min(k * stride, length - tile) for k in range(count))
    return AxisPlan(
        length=length,
        tile=tile,
        starts=starts,
        halo=halo,
        target=target,
        overlap=overlap,
        whole_overlap=whole_overlap,
    )


def uniform_weight(plan: AxisPlan, k: int) -> Tensor:
    """Every tile counts alike: the plain average of the published wrapper (facts h.1)."""
    low, high = plan.intervals[k]
    return torch.ones(high - low)


def smooth_weight(plan: AxisPlan, k: int) -> Tensor:
    """Raised cosine over the overlap towards each neighbour, one elsewhere and at the border."""
    low, high = plan.intervals[k]
    ramp = max(1.0, (plan.overlap - 2 * plan.halo) * plan.ratio)
    centre = torch.arange(low, high, dtype=torch.float64) + 0.5
    weight = torch.ones_like(centre)
    if k > 0:
        weight = weight * _raised_cosine((centre - low) / ramp)
    if k < len(plan.starts) - 1:
        weight = weight * _raised_cosine((high - centre) / ramp)
    return weight


def blend_steps(plan: AxisPlan, k: int, weight: WeightFunction) -> Tensor:
    """r_k over tile k's kept pixels, float32: its weight over the sum of all tiles up to k."""
    low, high = plan.intervals[k]
    own = weight(plan, k).double()
    total = own.clone()
    for j in range(k):
        begin, end = max(low, plan.intervals[j][0]), min(high, plan.intervals[j][1])
        if begin < end:
            other = weight(plan, j).double()
            offset = plan.intervals[j][0]
            total[begin - low : end - low] += other[begin - offset : end - offset]
    return (own / total).float()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile: its place in the plan and its rectangle of the lq, which may leave the picture."""

    row: int
    column: int
    rows: range
    columns: range


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """Tiles of a picture: one plan for rows, one for columns."""

    rows: AxisPlan
    columns: AxisPlan

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def __iter__(self) -> Iterator[Tile]:
        for i, top in enumerate(self.rows.starts):
            for j, left in enumerate(self.columns.starts):
                yield Tile(
                    row=i,
                    column=j,
                    rows=range(top, top + self.rows.tile),
                    columns=range(left, left + self.columns.tile),
                )

    @property
    def side(self) -> int:
        """The longer side of the tiles in lq pixels."""
        return max(self.rows.tile, self.columns.tile)

    def batches(self, size: int) -> Iterator[list[Tile]]:
        """The tiles in their order, so many at a time."""
        tiles = list(self)
        return (tiles[start : start + size] for start in range(0, len(tiles), size))

    def kept(self, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
        """Output rows and columns that a tile contributes to, half open."""
        return self.rows.intervals[tile.row], self.columns.intervals[tile.column]


class TileMerger:
    """Blends tile results and hands every pixel to the sink as soon as it is final.

    Tiles may come in any order; they are blended in the plan's order, so the result is the same.
    What is kept: the overlap with the tile to the right, and one strip of overlap rows.
    """

    def __init__(self, plan: TilePlan, sink: Sink, weight: WeightFunction = smooth_weight) -> None:
        self._plan = plan
        self._sink = sink
        self._weight = weight
        self._waiting: dict[tuple[int, int], Tensor] = {}
        self._next = iter(plan)
        self._due: Tile | None = next(self._next)
        self._right: Tensor | None = None  # overlap of the tile just added with the next one
        self._below: Tensor | None = None  # overlap rows of this tile row with the next one
        self._above: Tensor | None = None  # the same of the row before

    @property
    def is_complete(self) -> bool:
        """Whether every tile has come and every pixel has gone to the sink."""
        return self._due is None

    def add(self, tile: Tile, block_01: Tensor) -> None:
        """Take a tile's result: float32 ``[C, h, w]``, exactly its kept rows and columns.

        It is the merger's own from then on: overlaps are blended in it.
        """
        self._waiting[tile.row, tile.column] = block_01
        while self._due is not None and (key := (self._due.row, self._due.column)) in self._waiting:
            self._merge(self._due, self._waiting.pop(key))
            self._due = next(self._next, None)

    @torch.inference_mode()  # in which results were made, which may be written into there only
    def _merge(self, tile: Tile, block: Tensor) -> None:
        columns = self._plan.columns
        low, high = columns.intervals[tile.column]
        step = blend_steps(columns, tile.column, self._weight)
        _blend_in(self._right, block, step)
        done = columns.finished_before(tile.column + 1)
        # A copy: a view would hold the whole tile.
        self._right = block[:, :, done - low :].clone() if high > done else None
        self._merge_rows(tile, block[:, :, : done - low], low)
        if tile.column == len(columns.starts) - 1:
            self._right, self._above, self._below = None, self._below, None

    def _merge_rows(self, tile: Tile, block: Tensor, left: int) -> None:
        rows = self._plan.rows
        low, high = rows.intervals[tile.row]
        step = blend_steps(rows, tile.row, self._weight)
        width = block.shape[2]
        above = None if self._above is None else self._above[:, :, left : left + width]
        _blend_in(above, block, step[:, None], dim=1)
        done = rows.finished_before(tile.row + 1)
        self._sink.write(low, left, block[:, : done - low])
        if high > done:
            if self._below is None:
                self._below = self._strip(block, high - done)
            self._below[:, :, left : left + width] = block[:, done - low :]

    def _strip(self, block: Tensor, height: int) -> Tensor:
        """Room for the overlap rows of a tile row.

        It is that of the row before, where that has the height: columns are read there before
        they are written, and not again after.
        """
        if self._above is not None and self._above.shape[1] == height:
            return self._above
        return block.new_empty((block.shape[0], height, self._plan.columns.target))


def _blend_in(before: Tensor | None, block: Tensor, step: Tensor, dim: int = 2) -> None:
    """Blend the leading part of a block with what is already there along one dimension."""
    if before is not None:
        shared = before.shape[dim]
        head = block.narrow(dim, 0, shared)
        head.copy_(before + step[:shared].to(block) * (head - before))


def _raised_cosine(position: Tensor) -> Tensor:
    return torch.sin(position.clamp(0.0, 1.0) * (torch.pi / 2)) ** 2


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
