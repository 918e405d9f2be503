"""Tiles cover, weights sum to one, merging does not depend on order."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfdiff.core.errors import SettingsError
from hfdiff.upscaling.tiles import (
    TileMerger,
    TilePlan,
    plan_axis,
    smooth_weight,
    uniform_weight,
)
from support import reference


class Canvas:
    """A sink that keeps everything and refuses to be written twice."""

    def __init__(self, plan, channels=3):
        shape = (channels, plan.rows.target, plan.columns.target)
        self.picture = torch.full(shape, torch.nan)

    def write(self, top, left, block_01):
        height, width = block_01.shape[1:]
        place = self.picture[:, top : top + height, left : left + width]
        assert bool(torch.isnan(place).all()), "written twice"
        place.copy_(block_01)


@st.composite
def axes(draw):
    length = draw(st.integers(1, 300))
    halo = draw(st.integers(0, 6))
    overlap = draw(st.integers(0, 40))
    least = max(overlap, 2 * halo + 2) + 1
    tile = draw(st.integers(least, least + 100))
    target = draw(st.integers(length, length * 5))
    return plan_axis(length, tile=tile, overlap=overlap, halo=halo, target=target)


@given(axes(), st.sampled_from([smooth_weight, uniform_weight]))
@settings(max_examples=300, deadline=None)
def test_weights_of_all_tiles_sum_to_one_at_every_pixel(plan, weight):
    total = torch.zeros(plan.target, dtype=torch.float64)

    for (low, high), share in zip(plan.intervals, plan.final_weights(weight), strict=True):
        assert share.min() >= 0
        total[low:high] += share

    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


@given(axes())
@settings(max_examples=200, deadline=None)
def test_tiles_stay_inside_the_picture_and_no_inner_halo_is_used(plan):
    for k, (start, (low, high)) in enumerate(zip(plan.starts, plan.intervals, strict=True)):
        assert start >= 0
        assert start + plan.tile <= max(plan.length, plan.tile)
        if k > 0:
            assert low >= (start + plan.halo) * plan.ratio - 1e-9
        if k < len(plan.starts) - 1:
            assert high <= (start + plan.tile - plan.halo) * plan.ratio + 1e-9
    assert plan.intervals[0][0] == 0
    assert plan.intervals[-1][1] == plan.target


@given(axes())
@settings(max_examples=200, deadline=None)
def test_a_last_tile_that_was_moved_inwards_shares_no_more_than_others(plan):
    if len(plan.starts) > 1:
        shared = plan.intervals[-2][1] - plan.intervals[-1][0]

        assert 0 <= shared <= (plan.overlap - 2 * plan.halo) * plan.ratio + 1


def test_starts_are_the_published_ones():
    recorded = json.loads(reference("inference_wrapper.json").read_text())

    for key, starts in recorded["window_starts(length,chop,stride)"].items():
        length, chop, stride = map(int, key.split(","))
        plan = plan_axis(length, tile=chop, overlap=chop - stride, target=length * 4)
        assert list(plan.starts) == starts, key


def _plan(height=53, width=71, tile=24, overlap=10, halo=2, scale=4):
    return TilePlan(
        rows=plan_axis(height, tile=tile, overlap=overlap, halo=halo, target=height * scale),
        columns=plan_axis(width, tile=tile, overlap=overlap, halo=halo, target=width * scale),
    )


def _blocks(plan, seed=0):
    generator = torch.Generator().manual_seed(seed)
    blocks = {}
    for tile in plan:
        (top, bottom), (left, right) = plan.kept(tile)
        blocks[tile] = torch.rand((3, bottom - top, right - left), generator=generator)
    return blocks


def test_merged_tiles_do_not_depend_on_the_order_in_which_they_come():
    plan = _plan()
    blocks = _blocks(plan)
    orders = [list(blocks), list(blocks)[::-1], sorted(blocks, key=lambda t: (t.column, -t.row))]
    results = []

    for order in orders:
        canvas = Canvas(plan)
        merger = TileMerger(plan, canvas)
        for tile in order:
            merger.add(tile, blocks[tile].clone())
        assert merger.is_complete
        results.append(canvas.picture)

    assert not bool(torch.isnan(results[0]).any())
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_merging_is_the_weighted_mean():
    """The chain of blends equals the sum of results times their final weights."""
    plan = _plan()
    blocks = _blocks(plan)
    canvas = Canvas(plan)
    merger = TileMerger(plan, canvas)
    rows, columns = (axis.final_weights(smooth_weight) for axis in (plan.rows, plan.columns))
    expected = torch.zeros_like(canvas.picture, dtype=torch.float64)

    for tile, block in blocks.items():
        merger.add(tile, block.clone())
        (top, bottom), (left, right) = plan.kept(tile)
        share = rows[tile.row][:, None] * columns[tile.column][None]
        expected[:, top:bottom, left:right] += block.double() * share

    torch.testing.assert_close(canvas.picture.double(), expected, atol=1e-6, rtol=0)


def test_where_all_tiles_agree_their_value_comes_out_to_the_bit():
    plan = _plan()
    picture = torch.rand((3, plan.rows.target, plan.columns.target))
    canvas = Canvas(plan)
    merger = TileMerger(plan, canvas)

    for tile in plan:
        (top, bottom), (left, right) = plan.kept(tile)
        merger.add(tile, picture[:, top:bottom, left:right].clone())

    assert torch.equal(canvas.picture, picture)


def test_a_tile_that_cannot_advance_is_refused_with_a_size_that_can():
    with pytest.raises(SettingsError, match="too small for an overlap of 16") as caught:
        plan_axis(100, tile=16, overlap=16, target=400)

    assert "--tile 32" in str(caught.value.hint)


def test_an_overlap_that_the_model_needs_is_said_to_be_that():
    with pytest.raises(SettingsError, match="overlap of 46, which this model and these options"):
        plan_axis(100, tile=24, overlap=0, halo=23, target=400)


def test_a_short_picture_is_one_tile_padded_to_the_multiple():
    plan = plan_axis(33, tile=256, overlap=32, multiple=64, target=132)

    assert plan.starts == (0,)
    assert plan.tile == 64
    assert plan.intervals == ((0, 132),)


def test_a_side_that_is_a_multiple_already_gets_no_padding():
    """users 6.5.8: no extra window."""
    for length in (64, 128, 192):
        assert plan_axis(length, tile=256, overlap=32, multiple=64, target=length).tile == length


def test_computed_pixels_are_those_of_tiles_and_overlap():
    plan = plan_axis(10_000, tile=256, overlap=32, target=40_000)

    assert len(plan.starts) * plan.tile / 10_000 <= 1 + 32 / (256 - 32) + 256 / 10_000
