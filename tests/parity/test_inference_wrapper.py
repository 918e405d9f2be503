"""The published wrapper (facts h) from the product's own pieces: cut, pad, restore, merge."""

import json

import numpy as np
import pytest
import torch

from hfdiff.diffusion.samplers import recorded_noise, sample_ancestral, sample_deterministic
from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import (
    clamped_01_from_pm1,
    pm1_from_01,
    samples_from_01,
    samples_to_01,
)
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.upscaling.tiles import TileMerger, TilePlan, plan_axis, uniform_weight
from small_networks import SMALL_AUTOENCODERS, SMALL_UNETS
from support import fill_by_recipe, normal, reference

pytestmark = pytest.mark.parity
CASES = ("tiled_150x110", "pad_45x38", "pad_45x38-ddim4", "pad_45x38-ancestral4")


class FloatSink:
    """Keeps the merged picture as floats, to compare before rounding."""

    def __init__(self, height, width):
        self.picture = torch.empty(3, height, width)

    def write(self, top, left, block_01):
        height, width = block_01.shape[1:]
        self.picture[:, top : top + height, left : left + width] = block_01


@pytest.fixture(scope="module")
def recorded():
    with np.load(reference("inference_wrapper.npz")) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def settings():
    return json.loads(reference("inference_wrapper.json").read_text())


def _model(case):
    schedule = ScheduleConfig() if case["one_step"] else ScheduleConfig(steps=4, min_noise=0.2)
    model = build_model(
        ModelConfig(
            network=SMALL_UNETS["small_a"],
            codec=SMALL_AUTOENCODERS["small"],
            schedule=schedule,
            role="teacher",
        )
    )
    fill_by_recipe(model.network)
    fill_by_recipe(model.codec.autoencoder)
    return model


def _sample(model, case, y, lq_pm1, draws):
    noise = recorded_noise(*draws)
    if case["one_step"]:
        return model.sample(y, lq_pm1, noise=noise)
    sampler = sample_deterministic if case["ddim"] else sample_ancestral
    return sampler(model.denoiser, y, lq_pm1, noise=noise)


@pytest.mark.parametrize("name", CASES)
def test_our_pieces_put_together_the_published_way_give_the_published_picture(
    name, recorded, settings
):
    case = settings[name]
    lq = Picture(samples=recorded[f"{name}/image_lq_uint8"])
    model = _model(case)
    rows, columns = (
        plan_axis(
            side,
            tile=case["chop_size"],
            overlap=case["chop_size"] - case["chop_stride"],
            multiple=case["desired_min_size"],
            target=side * 4,
            whole_overlap=True,
        )
        for side in (lq.height, lq.width)
    )
    plan = TilePlan(rows=rows, columns=columns)
    sink = FloatSink(lq.height * 4, lq.width * 4)
    merger = TileMerger(plan, sink, uniform_weight)
    shapes = case["draw_shapes"]
    per_tile = len(shapes) // len(plan)

    for number, tile in enumerate(plan):
        lq_pm1 = pm1_from_01(samples_to_01(lq.window(tile.rows, tile.columns)))
        first = number * per_tile
        draws = [
            normal(f"{case['noise_prefix']}/draw{k}", shapes[k])
            for k in range(first, first + per_tile)
        ]
        z = _sample(model, case, model.encode_lq(lq_pm1), lq_pm1, draws)
        torch.testing.assert_close(
            z[0], torch.from_numpy(recorded[f"{name}/z"][number]), atol=2e-4, rtol=0
        )
        sr_01 = clamped_01_from_pm1(model.decode(z, lq_pm1))[0]
        (top, bottom), (left, right) = plan.kept(tile)
        top_0, left_0 = tile.rows.start * 4, tile.columns.start * 4
        merger.add(tile, sr_01[:, top - top_0 : bottom - top_0, left - left_0 : right - left_0])

    assert merger.is_complete
    expected = torch.from_numpy(recorded[f"{name}/image_sr_float_sub5"])
    torch.testing.assert_close(sink.picture[:, ::5, ::5], expected, atol=5e-5, rtol=0)
    ours = samples_from_01(sink.picture, np.dtype(np.uint8))[::3, ::3].astype(int)
    difference = np.abs(ours - recorded[f"{name}/image_sr_uint8_sub3"].astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001
